import Foundation
import MobileVLMCore

/// What comes from elsewhere: files of other apps, shortcuts, and the packed model.
extension AppModel {
    /// What the app was started for.
    enum Arrival {
        case live
        case picture(@Sendable () throws -> Data)
    }

    /// Opens a file from another app: a zipped bundle is imported, a picture is shown as soon as a model is in use.
    public func open(_ file: URL) async {
        guard file.pathExtension.lowercased() == "zip" else {
            arrive(
                .picture { [open = dependencies.openPickedFile] in
                    var bytes = Data()
                    try open(file) { bytes = try Data(contentsOf: $0) }
                    return bytes
                })
            return
        }
        if screen != .welcome { go(.bundles) }  // which shows the progress, or why it fails
        await importBundle(file)
    }

    /// Shows the picture whose file has the bytes `picture`, as soon as a model is in use.
    public func open(picture: Data) { arrive(.picture { picture }) }

    func arrive(_ next: Arrival) {
        arrival = next
        if session.bundle != nil { arrive() }
    }

    func arrive() {
        guard let arrived = arrival else { return }
        arrival = nil
        if screen != .chat { go(.chat) }
        switch arrived {
        case .live: startLive()
        case .picture(let read): Task { await pick { try read() } }
        }
    }

    public var hasPacked: Bool { dependencies.packed != nil }

    /// Imports the bundle packed into the app, and uses it.
    public func importPacked() async {
        guard let packed = dependencies.packed, library.importing == nil else { return }
        await importBundle(packed)
        if library.problem == nil { change { $0.hasImportedPacked = true } }
    }
}
