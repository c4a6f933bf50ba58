/// Does work of the main thread's elsewhere, one piece after another, in the order in which it was wished.
@MainActor
final class SerialQueue {
    private var last: Task<Void, Never>?

    /// Does `work` after all that was wished before.
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

    /// Returns once all is done.
    func settle() async {
        while let awaited = last {
            await awaited.value
            if last == awaited { return }
        }
    }
}
