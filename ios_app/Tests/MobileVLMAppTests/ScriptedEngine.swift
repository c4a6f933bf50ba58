import MobileVLMCore

/// An engine with scripted answers that waits where the test wants.
actor ScriptedEngine: VLMEngine, ModelMethods {
    struct Failure: Error {}

    nonisolated let chunk = 64
    private(set) var looks = 0
    private(set) var calls = 0
    private var answer = [Int32]()
    private var said = 0
    private var failures = 0
    private var holdAt: Int?
    private var held: CheckedContinuation<Void, Never>?

    /// Answers `tokens` to each question from now on.
    func says(_ tokens: [Int32]) { answer = tokens }

    /// The next `count` calls fail.
    func fail(_ count: Int = 1) { failures = count }

    /// Waits before its token number `token` until `release`.
    func hold(at token: Int) { holdAt = token }

    /// Waits before it ends its answer until `release`.
    func holdAtTheEnd() { holdAt = answer.count }

    var isHeld: Bool { held != nil }

    func release() {
        holdAt = nil
        held?.resume()
        held = nil
    }

    func encodeImage(_ pixels: [UInt8]) async throws {
        try call()
        looks += 1
    }

    func prefill(_ rows: [PromptRow], at position: Int) async throws { try call() }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
        try call()
        let isFirst = rows.count > 1
        if isFirst { said = 0 }
        if said == holdAt { await withCheckedContinuation { held = $0 } }
        defer { said += 1 }
        return said < answer.count ? answer[said] : 2
    }

    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float] {
        try call()
        return [Float](repeating: 0.5, count: 36 * 192)
    }

    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float] { [Float](repeating: 0.25, count: ids.count * 192) }

    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float] { (0..<640).map { Float(-$0) } }

    private func call() throws {
        calls += 1
        guard failures > 0 else { return }
        failures -= 1
        throw Failure()
    }
}
