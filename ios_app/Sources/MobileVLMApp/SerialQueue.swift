/// Runs the main thread's work asynchronously, one piece after another, in the order of enqueuing.
@MainActor
final class SerialQueue {
    private var last: Task<Void, Never>?

    /// Runs `work` after everything enqueued before.
    @discardableResult
    func enqueue<Result: Sendable>(_ work: @escaping @Sendable () async -> Result) -> Task<Result, Never> {
        let before = last
        let task = Task {
            await before?.value
            return await work()
        }
        last = Task { _ = await task.value }
        return task
    }

    /// Returns once the queue is empty.
    func settle() async {
        while let awaited = last {
            await awaited.value
            if last == awaited { return }
        }
    }
}
