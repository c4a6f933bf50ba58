import Accessibility
import Foundation
import MobileVLMApp
import MobileVLMCore
import MobileVLMCoreML
import UIKit

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
            conversations: .applicationSupportDirectory.appending(path: "conversations"),
            packed: Bundle.main.url(forResource: "demo.mvlm", withExtension: "zip"),
            captures: .temporaryDirectory.appending(path: "captures"),
            phone: .this,
            camera: camera,
            openEngine: { folder, manifest, units, foreground in
                try await CoreMLEngine.open(folder, manifest, on: units, foreground: foreground)
            },
            decodePhoto: { bytes, backdrop, part in try Photos.read(bytes, over: backdrop, part: part) },
            encodePhoto: { picture in try Photos.file(of: picture) },
            decodeExactly: { file in try Photos.exact(file) },
            openPickedFile: PickedFile.open,
            keepFromBackup: Backup.exclude,
            sweep: { ids in CompiledModels.inApplicationSupport.sweep(keeping: ids) },
            speaker: PhoneSpeaker(),
            hasVoiceOver: { UIAccessibility.isVoiceOverRunning },
            announce: { words in
                AccessibilityNotification.Announcement(words.map(\.localized).joined(separator: ". ")).post()
            },
            play: { [earcons = PhoneEarcons()] earcon in earcons.play(earcon) })
    }
}
