import AppIntents
import UniformTypeIdentifiers

/// Asks about an image of another app: an action for the Shortcuts app, which can put it into the share sheet.
struct PictureIntent: AppIntent {
    static let title: LocalizedStringResource = "welcome_title"
    static let openAppWhenRun = true

    @Parameter(title: "pick_photo", supportedContentTypes: [.image], inputConnectionBehavior: .connectToPreviousIntentResult)
    var image: IntentFile

    @MainActor
    func perform() async throws -> some IntentResult {
        PhoneApp.model.open(picture: image.data)
        return .result()
    }
}
