import Foundation
import MobileVLMCore

/// Core ML's failures as one-line errors.
enum CoreMLError {
    /// Runs `work`; a failure becomes an `EngineError` with `what` and Core ML's message.
    static func describing<Result>(_ what: @autoclosure () -> String, _ work: () throws -> Result) throws -> Result {
        do { return try work() } catch { throw described(what(), error) }
    }

    /// Like the other, for asynchronous work.
    static func describing<Result: Sendable>(
        _ what: String, _ work: @Sendable () async throws -> Result
    ) async throws -> Result {
        do { return try await work() } catch { throw described(what, error) }
    }

    private static func described(_ what: String, _ error: any Error) -> any Error {
        if error is CancellationError || error is any MobileVLMError { return error }
        let words = error.localizedDescription.split(whereSeparator: \.isNewline).first ?? "it doesn't say why"
        return EngineError("\(what) (\(words.prefix(200)))")
    }
}
