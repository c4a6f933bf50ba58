import Foundation
import XCTest

@testable import MobileVLMCore

final class RecordTests: XCTestCase {
    func testEveryStageIsRunOnceAndKept() async throws {
        let model = LoadedModel(
            folder: SessionFixture.folder, manifest: SessionFixture.manifest, engine: FakeEngine(chunk: 40),
            tokenizer: SessionFixture.tokenizer)
        let methods = FakeMethods(), pixels = [UInt8](repeating: 7, count: 3 * 168 * 168)
        let said = Answer(text: "yes", tokenIDs: [300], ended: .complete)
        let record = try await RecordMaker(model: model, methods: methods)
            .make(pixels, question: "What is this?", maxNewTokens: 8, said)
        let tokenizer = SessionFixture.tokenizer, prompt = Prompt(SessionFixture.manifest.prompt)
        XCTAssertEqual(record.idsBeforeImage, [1] + tokenizer.encode(SessionFixture.manifest.prompt.beforeImage))
        XCTAssertEqual(record.idsAfterImage, tokenizer.encode(try prompt.afterImage("What is this?")))
        XCTAssertEqual(record.imageEmbedding.shape, [1, 36, 192])
        XCTAssertEqual(record.pixelsSHA256, SHA256Digest.hex(of: pixels))
        XCTAssertEqual([record.stopReason, record.answer], ["eos", "yes"])
        XCTAssertEqual(record.answerIDs, [300])
        // The decoder is called with at most 40 tokens at a time, ids and image in order.
        XCTAssertEqual(methods.decoded.all.map(\.position), [0, 40])
        let image = try await methods.visionEncoder(pixels)
        func rows(_ ids: [Int32]) -> [Float] { ids.flatMap { [Float](repeating: Float($0), count: 192) } }
        XCTAssertEqual(methods.decoded.all.flatMap(\.embeds), rows(record.idsBeforeImage) + image + rows(record.idsAfterImage))
        do {
            _ = try await RecordMaker(model: model, methods: FakeMethods(imageCount: 5))
                .make(pixels, question: "What is this?", maxNewTokens: 8, said)
            XCTFail("expected an error")
        } catch {
            XCTAssertEqual(error as? EngineError, EngineError("vision_encoder: got 5 values, expected 6912"))
        }
    }

    func testFiguresHaveSixDigits() {
        // Python: float(f"{value:.6g}")
        let sketch = Sketch(of: [1_234_567, 0.1, 1e-10, -3.14159274], shape: [4])
        XCTAssertEqual([0, 16, 32, 48].map { sketch.values[$0] }, [1.23457e6, 0.1, 1e-10, -3.14159])
        XCTAssertEqual(sketch.values.count, 64)
        XCTAssertEqual(sketch.norm, 1.23457e6)
    }

    func testTheTenLargestLogitsComeFirst() {
        let top = TopLogits(of: (0..<50).map { Float($0 * 7 % 50) })
        XCTAssertEqual(top.values, (40...49).reversed().map(Double.init))
        XCTAssertEqual(top.tokenIDs.map { Double($0 * 7 % 50) }, top.values)
        XCTAssertEqual(TopLogits(of: [-2, -1, -1]).tokenIDs, [1, 2, 0])
    }
}
