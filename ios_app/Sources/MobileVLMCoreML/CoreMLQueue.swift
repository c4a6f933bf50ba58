import Dispatch

/// A thread for Core ML's calls: an actor's executor on a dispatch queue.
final class CoreMLQueue: SerialExecutor {
    private let queue = DispatchQueue(label: "org.mobilevlmkit.coreml", qos: .userInitiated)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    /// Runs `work` on the queue.
    func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: work)) }
        }
    }
}
