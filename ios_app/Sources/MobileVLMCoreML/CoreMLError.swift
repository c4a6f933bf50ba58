import Foundation
import MobileVLMCore

/// What Core ML says when it fails, in one line.
enum CoreMLError {
    /// `work`, whose failure is an `EngineError` that says `what`, and Core ML's own words.
    static func describing<Result>(_ what: @autoclosure () -> String, _ work: () throws -> Result) throws -> Result {
        do { return try work() } catch { throw described(what(), error) }
    }

    /// As `describing`, for work that waits.
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
