import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class CheckTests: XCTestCase, @unchecked Sendable {
    private static let question = "What is this?"

    func testAPhoneThatGivesTheSameSaysSo() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        XCTAssertFalse(stage.model.canCheck, "there is no model")
        XCTAssertTrue(stage.model.checkNeedsModel)
        try await stage.start(try bundle(answer: "a red circle"))
        try await stage.take(20)
        await stage.ask("Why?")
        stage.announced.change { $0 = [] }
        stage.model.go(.check)
        XCTAssertTrue(stage.model.canCheck)
        await stage.model.startCheck()
        let check = try XCTUnwrap(stage.model.check)
        XCTAssertEqual(check.findings.map(\.stage), ["preprocessing", "tokenizer", "decoder"])
        XCTAssertNil(check.failure)
        XCTAssertEqual(check.verdict, Words("check_same", .count(3)))
        XCTAssertEqual(stage.announced.value, [[check.verdict]])
        XCTAssertEqual(check.figures.map(\.key), ["load", "image", "first", "speed", "memory", "thermal"].map { "check_\($0)" })
        XCTAssertEqual(
            check.figures.suffix(2),
            [Words("check_memory", .bytes(7_000_000)), Words("check_thermal", .words("thermal_nominal"))])
        XCTAssertTrue(check.canCapture)
        // The conversation is put back.
        stage.model.back()
        await stage.model.settle()
        XCTAssertNil(stage.model.check)
        XCTAssertEqual(stage.model.session.phase, .seen)
        await stage.ask("And now?")
        XCTAssertEqual(stage.model.session.turns.count, 2)
    }

    func testADifferenceIsShownAndACaptureIsMadeToShare() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start(try bundle(answer: "a blue circle"))
        await stage.model.startCheck()
        XCTAssertEqual(stage.model.check?.verdict, Words("check_differs", .count(1), .count(3)))
        await stage.model.makeCapture()
        let check = try XCTUnwrap(stage.model.check)
        XCTAssertNil(check.failure)
        XCTAssertFalse(check.isCapturing)
        let lines = check.findings.map { Check.line($0) }
        XCTAssertEqual(lines[0], Words("check_line_same", .text("seven.png"), .words("stage_pixels")))
        XCTAssertEqual(lines[1], Words("check_line_same", .text("seven.png"), .words("stage_prompt")))
        XCTAssertEqual(lines[2], Words("check_line_differs", .text("seven.png"), .words("stage_answer")))
        let file = try XCTUnwrap(check.capture)
        XCTAssertTrue(try Data(contentsOf: file).starts(with: Data("PK".utf8)))
        XCTAssertTrue(stage.model.check?.canCapture == true)
    }

    func testAnEngineThatFailsWhileACaptureIsMadeSaysSo() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start(try bundle(answer: "a red circle"))
        await stage.model.startCheck()
        await stage.engine.fail()
        await stage.model.makeCapture()
        let check = try XCTUnwrap(stage.model.check)
        XCTAssertNotNil(check.failure)
        XCTAssertNil(check.capture)
        XCTAssertTrue(check.canCapture, "it can be tried again")
        XCTAssertEqual(check.verdict, Words("check_same", .count(3)))
    }

    func testABundleWithoutRecordsSaysSo() async throws {
        let stage = try Stage()
        try await stage.start()
        await stage.model.startCheck()
        XCTAssertEqual(stage.model.check?.verdict, Words("check_failed"))
        XCTAssertTrue(stage.model.check?.failure?.contains("got no golden records") == true)
        XCTAssertNil(stage.model.notice, "it is told on its own screen")
        XCTAssertFalse(stage.model.check?.canCapture == true)
    }

    func testLeavingAndTheBackgroundEndIt() async throws {
        for isBackground in [false, true] {
            let stage = try Stage()
            try await stage.says("a red circle")
            try await stage.start(try bundle(answer: "a red circle"))
            await stage.engine.hold(at: 1)
            stage.model.go(.check)
            let check = Task { await stage.model.startCheck() }
            try await eventually("it runs") { await stage.engine.isHeld }
            try await eventually("it is seen") { stage.model.check != nil && stage.model.session.phase == .checking }
            XCTAssertEqual(stage.model.check?.verdict, Words("check_running"))
            XCTAssertTrue(stage.model.staysAwake)
            XCTAssertFalse(stage.model.canCheck)
            XCTAssertEqual(stage.model.status, Words("check_running"))
            if isBackground { stage.model.enterBackground() } else { stage.model.back() }
            await stage.model.wishes.settle()
            await stage.engine.release()
            await check.value
            await stage.model.settle()
            XCTAssertEqual(stage.model.check?.verdict, isBackground ? Words("check_interrupted") : nil)
            XCTAssertFalse(stage.model.staysAwake)
            stage.model.enterForeground()
            await stage.model.settle()
            XCTAssertEqual(stage.model.session.phase, .ready)
        }
    }

    func testLeavingBeforeItBeginsEndsItToo() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start(try bundle(answer: "a red circle"))
        stage.model.go(.check)
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        stage.model.wishes.then { for await _ in gate { break } }
        let check = Task { await stage.model.startCheck() }
        try await eventually("it is seen") { stage.model.check?.verdict == Words("check_running") }
        stage.model.back()
        XCTAssertNil(stage.model.check)
        opener.yield()
        await check.value
        await stage.model.settle()
        XCTAssertNil(stage.model.check)
        XCTAssertFalse(stage.model.staysAwake)
        XCTAssertEqual(stage.model.session.phase, .ready)
        await stage.model.startCheck()
        XCTAssertEqual(stage.model.check?.verdict, Words("check_same", .count(3)))
    }

    func testTheBackgroundEndsItBeforeItBegins() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start(try bundle(answer: "a red circle"))
        try await stage.take(20)
        await stage.engine.hold(at: 1)
        await stage.model.ask("Why?")
        try await eventually("it answers") { await stage.engine.isHeld }
        stage.model.go(.check)
        let check = Task { await stage.model.startCheck() }  // once the answer has stopped
        try await eventually("it is seen") { stage.model.session.phase == .checking }
        stage.model.enterBackground()
        await stage.model.wishes.settle()
        await stage.engine.release()
        try await eventually("it is told") { stage.model.check?.verdict == Words("check_interrupted") }
        XCTAssertFalse(stage.model.staysAwake)
        await check.value
    }

    func testWhatTheSessionRefusesToBeginIsNotSeen() async throws {
        let stage = try Stage()
        try await stage.start()
        stage.model.wish { await $0.close() }  // which isn't seen yet
        await stage.model.startCheck()
        XCTAssertNil(stage.model.check)
        XCTAssertFalse(stage.model.staysAwake)
    }

    /// With one golden record, right but for its answer.
    private func bundle(answer: String) throws -> TestBundle {
        var bundle = try TestBundle(largest: 1000)
        let manifest = try ManifestReader.read(bundle.manifestBytes, name: "demo")
        let tokenizer = try Tokenizer(PromptTests.demoTokenizer), prompt = Prompt(manifest.prompt)
        var square = SquarePixels(manifest.image)
        let pixels = square.pixels(of: try Picture(width: 4, height: 4, pixels: [UInt32](repeating: 7 * 0x10101, count: 16)))
        let record: [String: Any] = [
            "picture": "seven.png", "question": Self.question, "max_new_tokens": 20,
            "pixels_sha256": SHA256Digest.hex(of: pixels),
            "ids_before_image": [manifest.prompt.bosID] + tokenizer.encode(manifest.prompt.beforeImage),
            "ids_after_image": tokenizer.encode(try prompt.afterImage(Self.question)),
            "image_embedding": ["shape": [1, 1], "norm": 1.0, "values": [1.0]],
            "first_logits": ["token_ids": [1], "values": [1.0]],
            "answer": answer, "answer_ids": tokenizer.encode(answer), "stop_reason": "eos",
        ]
        bundle.entries.append(("golden/seven.png", Data([7])))
        bundle.entries.append(("golden/golden.json", try JSONSerialization.data(withJSONObject: ["records": [record]])))
        bundle.manifest["files"] = bundle.entries.map {
            ["path": $0.name, "bytes": $0.content.count, "sha256": SHA256Digest.hex(of: $0.content)]
        }
        return bundle
    }
}
