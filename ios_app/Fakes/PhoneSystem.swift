// Replaces `App/PhoneSystem.swift`, which needs Apple's Foundation throughout, where the views are type-checked on Linux.

import Foundation
import MobileVLMApp
import MobileVLMCore

enum PickedFile {
    static func open(_ file: URL, _ read: (URL) throws -> Void) throws { try read(file) }
}

enum Backup {
    static func exclude(_ folder: URL) {}
}

extension Phone {
    @MainActor static var this: Phone {
        Phone(
            availableMemory: { 0 }, thermal: { .nominal }, isLowPower: { false }, peakBytes: { 0 }, describe: { [:] })
    }
}

extension URL {
    static let documentsDirectory = URL(fileURLWithPath: "/"), applicationSupportDirectory = documentsDirectory
    static let cachesDirectory = documentsDirectory
}
