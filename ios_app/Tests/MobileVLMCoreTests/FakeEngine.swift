import Foundation

@testable import MobileVLMCore

/// An engine whose next token depends on the image and on every row before it, so that a missing, extra or misplaced row changes the answer.
actor FakeEngine: VLMEngine {
    struct Failure: Error {}

    nonisolated let chunk: Int
    private(set) var looks = 0
    private(set) var fed = 0
    private(set) var misuse: String?
    /// The rows in the KV cache.
    private(set) var cache = [PromptRow]()
    private var failures = 0
    private var picture: [UInt8]?
    private var isBusy = false
    private var meanwhile: (@Sendable (String) async throws -> Void)?
    private let endsOften: Bool

    /// - Parameter endsOften: whether answers end after about nine tokens, or never
    init(chunk: Int = 16, endsOften: Bool = true) {
        self.chunk = chunk
        self.endsOften = endsOften
    }

    /// The next `count` calls fail and lose the cache.
    func fail(_ count: Int = 1) { failures = count }

    /// Runs `work` with the call's name in the middle of each call; what it throws becomes the call's failure.
    func meanwhile(_ work: (@Sendable (String) async throws -> Void)?) { meanwhile = work }

    func resetCounts() {
        looks = 0
        fed = 0
    }

    /// Resets the engine, as if another program was loaded.
    func reset() {
        picture = nil
        cache = []
    }

    func encodeImage(_ pixels: [UInt8]) async throws {
        try await call("encodeImage")
        looks += 1
        picture = pixels
    }

    func prefill(_ rows: [PromptRow], at position: Int) async throws {
        try await call("prefill")
        append(rows, at: position)
    }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
        try await call("next")
        append(rows, at: position)
        guard let picture else { throw EngineError("got no picture") }
        return sampler.next(Self.logits(picture, cache, endsOften: endsOften))
    }

    /// The correct answer after `rows`: ids without the stop token.
    static func answer(_ picture: [UInt8], _ rows: [PromptRow], most: Int, endsOften: Bool = true) -> [Int32] {
        var rows = rows, ids = [Int32]()
        var sampler = Sampler.greedy
        while ids.count < most {
            let next = sampler.next(logits(picture, rows, endsOften: endsOften))
            if next == 2 { break }
            ids.append(next)
            rows.append(.token(next))
        }
        return ids
    }

    private static func logits(_ picture: [UInt8], _ rows: [PromptRow], endsOften: Bool) -> [Float] {
        var state: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ value: Int) { state = (state ^ UInt64(bitPattern: Int64(value))) &* 0x100_0000_01b3 }
        mix(Int(picture[0]) << 8 | Int(picture[picture.count / 2]))
        for row in rows {
            switch row {
            case .token(let id): mix(Int(id))
            case .image(let index): mix(-1 - index)
            }
        }
        var logits = [Float](repeating: 0, count: 640)
        logits[endsOften && state >> 32 % 9 == 0 ? 2 : 260 + Int(state >> 16 % 380)] = 1
        return logits
    }

    private func append(_ rows: [PromptRow], at position: Int) {
        if !(1...chunk).contains(rows.count) { misuse = "got \(rows.count) rows, expected 1 to \(chunk)" }
        if position > cache.count { misuse = "got position \(position) with \(cache.count) rows in the cache" }
        if rows.contains(.image(0)), picture == nil { misuse = "got image rows before a picture" }
        cache = cache[..<min(position, cache.count)] + rows
        fed += rows.count
    }

    private func call(_ name: String) async throws {
        if isBusy { misuse = "got \(name) while another call runs" }
        isBusy = true
        defer { isBusy = false }
        do {
            await Task.yield()
            try await meanwhile?(name)
            guard failures > 0 else { return }
            failures -= 1
            throw Failure()
        } catch {
            reset()
            throw error
        }
    }
}
