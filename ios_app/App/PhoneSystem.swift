import Foundation
import MobileVLMApp
import MobileVLMCore
import UIKit
import os

/// A file that the user picked in another app.
enum PickedFile {
    /// A file of another app may need access through its provider; a file sent to this app must be deleted afterwards.
    static func open(_ file: URL, _ read: (URL) throws -> Void) throws {
        let isLent = file.startAccessingSecurityScopedResource()
        defer {
            if isLent { file.stopAccessingSecurityScopedResource() }
            if file.deletingLastPathComponent().lastPathComponent == "Inbox" { try? FileManager.default.removeItem(at: file) }
        }
        var refusal: NSError?
        var result: Result<Void, any Error>?
        NSFileCoordinator().coordinate(readingItemAt: file, options: .withoutChanges, error: &refusal) { place in
            result = Result { try read(place) }
        }
        guard let result else {
            throw BundleError("\(file.lastPathComponent): \(refusal?.localizedDescription ?? "can't be read")")
        }
        try result.get()
    }
}

/// The phone's backup.
enum Backup {
    static func exclude(_ folder: URL) {
        var folder = folder
        var values = URLResourceValues()
        values.isExcludedFromBackup = true
        try? folder.setResourceValues(values)
    }
}

extension Phone {
    /// The current phone.
    @MainActor
    static var this: Phone {
        let system = UIDevice.current.systemVersion
        return Phone(
            availableMemory: {
                // The simulator has no limit and reports 0.
                let free = Int64(os_proc_available_memory())
                return free > 0 ? free : Int64(ProcessInfo.processInfo.physicalMemory)
            },
            thermal: { Thermal(ProcessInfo.processInfo.thermalState) },
            isLowPower: { ProcessInfo.processInfo.isLowPowerModeEnabled },
            peakBytes: {
                var usage = rusage()
                getrusage(RUSAGE_SELF, &usage)
                return Int64(usage.ru_maxrss)
            },
            describe: { ["model": machine, "ios": system] })
    }

    /// Apple's model identifier, such as `iPhone17,1`.
    private static var machine: String {
        var facts = utsname()
        uname(&facts)
        return withUnsafeBytes(of: facts.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
