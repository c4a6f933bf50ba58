import Foundation

/// Lets work onto the GPU only while the app is active: iOS refuses GPU work of an app in the background, and the work fails.
///
/// Close it when the app becomes inactive, before the background, so that what runs is over by then.
public final class ForegroundGate: @unchecked Sendable {
    private let lock = NSLock()
    private var isOpen = true
    private var closings = 0
    private var waiting = [Int: CheckedContinuation<Int, any Error>]()
    private var tickets = 0

    public init() {}

    public func open() {
        let (released, before) = lock.withLock {
            isOpen = true
            defer { waiting = [:] }
            return (waiting.values, closings)
        }
        for waiter in released { waiter.resume(returning: before) }
    }

    /// How many wait; for tests.
    var waiters: Int { lock.withLock { waiting.count } }

    public func close() {
        lock.withLock {
            isOpen = false
            closings += 1
        }
    }

    /// Waits until it is open, and runs `work`.
    ///
    /// - Throws: what `work` throws; `CancellationError` instead if it was closed meanwhile, because the background may be the cause: the
    ///   work is to be done again. `CancellationError` if the task is cancelled while it waits.
    public func guarding<Result>(_ work: () async throws -> Result) async throws -> Result {
        let before = try await pass()
        do {
            return try await work()
        } catch {
            throw lock.withLock { closings } == before ? error : CancellationError()
        }
    }

    /// Returns how often it was closed before it let this through: it may be closed again before the task continues.
    private func pass() async throws -> Int {
        let ticket = lock.withLock {
            tickets += 1
            return tickets
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { waiter in
                let outcome: Result<Int, any Error>? = lock.withLock {
                    if isOpen { return .success(closings) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    waiting[ticket] = waiter
                    return nil
                }
                if let outcome { waiter.resume(with: outcome) }
            }
        } onCancel: {
            lock.withLock { waiting.removeValue(forKey: ticket) }?.resume(throwing: CancellationError())
        }
    }
}
