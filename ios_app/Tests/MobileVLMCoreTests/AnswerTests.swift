import XCTest

@testable import MobileVLMCore

final class AnswerTests: XCTestCase {
    /// Special tokens count, but aren't shown. A model may have more rows than the tokenizer has pieces.
    func testOnlyPiecesAreChosenAndSpecialOnesAreNotShown() async throws {
        let tokenizer = SessionFixture.tokenizer
        let model = LoadedModel(
            folder: SessionFixture.folder, manifest: SessionFixture.manifest, engine: SayingEngine([300, 0, 1, 301, 2]),
            tokenizer: tokenizer)
        var conversation = Conversation(model), sampler = Sampler.greedy
        try await conversation.encodeImage([])
        let answer = try await conversation.answer(
            [], "What is this?", maxNewTokens: 20, by: &sampler, isStopped: { false }, show: { _ in })
        XCTAssertEqual(answer.tokenIDs, [300, 0, 1, 301])
        XCTAssertEqual(answer.text, tokenizer.decode([300, 301]))
        XCTAssertEqual(answer.ended, .complete)
    }
}

/// Says `ids`, one after another, with a larger logit in a row without a piece.
private actor SayingEngine: VLMEngine {
    nonisolated let chunk = 16
    private var ids: [Int32]

    init(_ ids: [Int32]) { self.ids = ids }

    func encodeImage(_ pixels: [UInt8]) {}

    func prefill(_ rows: [PromptRow], at position: Int) {}

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) -> Int32 {
        var logits = [Float](repeating: 0, count: SessionFixture.tokenizer.count + 1)
        logits[Int(ids.isEmpty ? 2 : ids.removeFirst())] = 1
        logits[logits.count - 1] = 2
        return sampler.next(logits)
    }
}
