import Foundation
import MobileVLMCore

/// Notes in a file that the engine runs, so that the next start can tell that the app ended in the midst of it: the system ends an app
/// that takes too much memory without a word, and loading the same model again at once would end it again.
///
/// An app that isn't seen may be ended at any time: nothing is noted then.
public final class CrashGuard: Sendable {
    private struct State {
        var running = 0
        var isSeen = true
    }

    private let mark: URL
    private let state = LockedValue(State())
    /// Whether the app's last life ended while the engine ran.
    public let hasCrashed: Bool

    /// `mark` is the file; it is taken away.
    public init(_ mark: URL) {
        self.mark = mark
        hasCrashed = FileManager.default.fileExists(atPath: mark.path)
        try? FileManager.default.createDirectory(at: mark.deletingLastPathComponent(), withIntermediateDirectories: true)
        note()
    }

    func background() {
        state.withLock { $0.isSeen = false }
        note()
    }

    func foreground() {
        state.withLock { $0.isSeen = true }
        note()
    }

    /// Does `work`, of the engine's.
    func guarding<Result>(_ work: () async throws -> Result) async rethrows -> Result {
        state.withLock { $0.running += 1 }
        note()
        defer {
            state.withLock { $0.running -= 1 }
            note()
        }
        return try await work()
    }

    private func note() {
        state.withLock { state in
            if state.running > 0, state.isSeen {
                _ = FileManager.default.createFile(atPath: mark.path, contents: nil)
            } else {
                try? FileManager.default.removeItem(at: mark)
            }
        }
    }
}
