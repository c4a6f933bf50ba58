import Foundation

@testable import MobileVLMCore

/// An engine whose next token depends on the picture and on every row before it: a row too many, too few or misplaced changes the answer.
actor FakeEngine: VLMEngine {
    struct Failure: Error {}

    nonisolated let chunk: Int
    private(set) var looks = 0
    private(set) var fed = 0
    private(set) var misuse: String?
    private var failures = 0
    private var picture: [UInt8]?
    private var cache = [PromptRow]()

    init(chunk: Int = 16) {
        self.chunk = chunk
    }

    /// The next `count` calls fail, and lose all.
    func fail(_ count: Int = 1) { failures = count }

    func resetCounts() {
        looks = 0
        fed = 0
    }

    func look(_ pixels: [UInt8]) async throws {
        await Task.yield()
        try failIfTold()
        looks += 1
        picture = pixels
    }

    func prefill(_ rows: [PromptRow], at position: Int) async throws {
        await Task.yield()
        try failIfTold()
        append(rows, at: position)
    }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
        try await prefill(rows, at: position)
        guard let picture else { throw EngineError("got no picture") }
        return sampler.next(Self.logits(picture, cache))
    }

    /// What a sound session answers after `rows`: ids without the stop.
    static func answer(_ picture: [UInt8], _ rows: [PromptRow], most: Int) -> [Int32] {
        var rows = rows, ids = [Int32]()
        var sampler = Sampler.greedy
        while ids.count < most {
            let next = sampler.next(logits(picture, rows))
            if next == 2 { break }
            ids.append(next)
            rows.append(.token(next))
        }
        return ids
    }

    private static func logits(_ picture: [UInt8], _ rows: [PromptRow]) -> [Float] {
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
        logits[state >> 32 % 9 == 0 ? 2 : 260 + Int(state >> 16 % 380)] = 1
        return logits
    }

    private func append(_ rows: [PromptRow], at position: Int) {
        if !(1...chunk).contains(rows.count) { misuse = "got \(rows.count) rows, expected 1 to \(chunk)" }
        if position > cache.count { misuse = "got position \(position) with \(cache.count) rows in the cache" }
        if rows.contains(.image(0)), picture == nil { misuse = "got image rows before a picture" }
        cache = cache[..<min(position, cache.count)] + rows
        fed += rows.count
    }

    private func failIfTold() throws {
        guard failures > 0 else { return }
        failures -= 1
        picture = nil
        cache = []
        throw Failure()
    }
}
