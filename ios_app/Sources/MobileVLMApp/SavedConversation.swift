import Foundation
import MobileVLMCore

/// Saves the current picture and conversation in the app's cache, in case the system ends the app in the background.
actor SavedConversation {
    private let picture: URL
    private let turns: URL

    init(_ folder: URL) {
        picture = folder.appending(path: "picture.rgb")
        turns = folder.appending(path: "turns.json")
    }

    /// Saves a new picture without a conversation: width, height, and red, green and blue of each pixel.
    func save(_ shown: Picture) {
        var bytes = Data(capacity: 8 + 3 * shown.pixels.count)
        for size in [shown.width, shown.height] {
            for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: size >> shift)) }
        }
        for pixel in shown.pixels {
            for shift in [16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: pixel >> shift)) }
        }
        delete()
        write(bytes, to: picture)
    }

    func save(_ said: [ChatTurn]) {
        if let bytes = try? JSONEncoder().encode(said) { write(bytes, to: turns) }
    }

    /// What was saved; nil if it is missing or incomplete.
    func load() -> (Picture, [ChatTurn])? {
        guard let bytes = try? Data(contentsOf: picture), bytes.count > 8 else { return nil }
        let sizes = [0, 4].map { at in (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
        guard let shown = try? Picture(width: sizes[0], height: sizes[1], rgb: [UInt8](bytes[8...])) else { return nil }
        let said = (try? Data(contentsOf: turns)).flatMap { try? JSONDecoder().decode([ChatTurn].self, from: $0) }
        return (shown, said ?? [])
    }

    func delete() {
        for file in [picture, turns] { try? FileManager.default.removeItem(at: file) }
    }

    private func write(_ bytes: Data, to file: URL) {
        try? FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        #if os(iOS)
            try? bytes.write(to: file, options: [.atomic, .completeFileProtection])
        #else
            try? bytes.write(to: file, options: .atomic)
        #endif
    }
}
