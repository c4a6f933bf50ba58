import Foundation
import MobileVLMCore

/// Marks in a file that the engine is running, so that the next start can detect that the app ended during it: the system ends an app
/// that uses too much memory without notice, and loading the same model again at once would end it again.
///
/// An app in the background may be ended at any time, so nothing is marked then.
public final class CrashGuard: Sendable {
    private struct State {
        var running = 0
        var isSeen = true
    }

    private let mark: URL
    private let state = LockedValue(State())
    /// Whether the app last ended while the engine was running.
    public let hasCrashed: Bool

    /// Deletes the file `mark` after reading it.
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

    /// Runs `work`, which uses the engine.
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
