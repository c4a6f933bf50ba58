import Accessibility
import Foundation
import MobileVLMApp
import MobileVLMCore
import MobileVLMCoreML

extension Dependencies {
    /// The app as it runs on a phone.
    @MainActor
    static func phone(_ camera: PhoneCamera) -> Dependencies {
        Dependencies(
            // Accessible to the Finder and the Files app.
            bundles: .documentsDirectory,
            settings: .file(.applicationSupportDirectory.appending(path: "settings.json")),
            crashGuard: CrashGuard(.applicationSupportDirectory.appending(path: "engine-runs")),
            cache: .cachesDirectory.appending(path: "conversation"),
            captures: .temporaryDirectory.appending(path: "captures"),
            phone: .this,
            camera: camera,
            openEngine: { folder, manifest, units, foreground in
                try await CoreMLEngine.open(folder, manifest, on: units, foreground: foreground)
            },
            decodePhoto: { bytes, backdrop in try Photos.read(bytes, over: backdrop) },
            decodeExactly: { file in try Photos.exact(file) },
            openPickedFile: PickedFile.open,
            keepFromBackup: Backup.exclude,
            sweep: { ids in CompiledModels.inApplicationSupport.sweep(keeping: ids) },
            speaker: PhoneSpeaker(),
            announce: { words in
                AccessibilityNotification.Announcement(words.map(\.localized).joined(separator: ". ")).post()
            })
    }
}
