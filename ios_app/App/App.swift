import MobileVLMApp
import SwiftUI

/// Starts the app, and tells its model about foreground and background.
@main
struct PhoneApp: App {
    @MainActor static let camera = PhoneCamera()
    /// Also for shortcuts, which run in the app.
    @MainActor static let model = AppModel(.phone(camera))

    var body: some Scene {
        WindowGroup {
            RootView(model: Self.model, camera: Self.camera)
        }
    }
}
