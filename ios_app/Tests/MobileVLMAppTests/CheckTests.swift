import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class CheckTests: XCTestCase, @unchecked Sendable {
    private static let question = "What is this?"

    func testAMatchingPhoneIsReported() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        XCTAssertFalse(fixture.model.canCheck, "there is no model")
        XCTAssertTrue(fixture.model.checkNeedsModel)
        try await fixture.start(try bundle(answer: "a red circle"))
        try await fixture.take(20)
        await fixture.ask("Why?")
        fixture.announced.change { $0 = [] }
        fixture.model.go(.check)
        XCTAssertTrue(fixture.model.canCheck)
        await fixture.model.startCheck()
        let check = try XCTUnwrap(fixture.model.check)
        XCTAssertEqual(check.findings.map(\.stage), ["preprocessing", "tokenizer", "decoder"])
        XCTAssertNil(check.failure)
        XCTAssertEqual(check.verdict, LocalizedText("check_same", .count(3)))
        XCTAssertEqual(fixture.announced.value, [[check.verdict]])
        XCTAssertEqual(check.figures.map(\.key), ["load", "image", "first", "speed", "memory", "thermal"].map { "check_\($0)" })
        XCTAssertEqual(
            check.figures.suffix(2),
            [LocalizedText("check_memory", .bytes(7_000_000)), LocalizedText("check_thermal", .localized("thermal_nominal"))])
        XCTAssertTrue(check.canCapture)
        // The conversation is put back.
        fixture.model.back()
        await fixture.model.settle()
        XCTAssertNil(fixture.model.check)
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
        await fixture.ask("And now?")
        XCTAssertEqual(fixture.model.session.turns.count, 2)
    }

    func testADifferenceIsShownAndACaptureIsMadeToShare() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start(try bundle(answer: "a blue circle"))
        await fixture.model.startCheck()
        XCTAssertEqual(fixture.model.check?.verdict, LocalizedText("check_differs", .count(1), .count(3)))
        await fixture.model.makeCapture()
        let check = try XCTUnwrap(fixture.model.check)
        XCTAssertNil(check.failure)
        XCTAssertFalse(check.isCapturing)
        let lines = check.findings.map { CheckState.line($0) }
        XCTAssertEqual(lines[0], LocalizedText("check_line_same", .text("seven.png"), .localized("stage_pixels")))
        XCTAssertEqual(lines[1], LocalizedText("check_line_same", .text("seven.png"), .localized("stage_prompt")))
        XCTAssertEqual(lines[2], LocalizedText("check_line_differs", .text("seven.png"), .localized("stage_answer")))
        let file = try XCTUnwrap(check.capture)
        XCTAssertTrue(try Data(contentsOf: file).starts(with: Data("PK".utf8)))
        XCTAssertTrue(fixture.model.check?.canCapture == true)
    }

    func testAnEngineFailureDuringACaptureIsReported() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start(try bundle(answer: "a red circle"))
        await fixture.model.startCheck()
        await fixture.engine.fail()
        await fixture.model.makeCapture()
        let check = try XCTUnwrap(fixture.model.check)
        XCTAssertNotNil(check.failure)
        XCTAssertNil(check.capture)
        XCTAssertTrue(check.canCapture, "it can be tried again")
        XCTAssertEqual(check.verdict, LocalizedText("check_same", .count(3)))
    }

    func testABundleWithoutRecordsIsReported() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        await fixture.model.startCheck()
        XCTAssertEqual(fixture.model.check?.verdict, LocalizedText("check_failed"))
        XCTAssertTrue(fixture.model.check?.failure?.contains("got no golden records") == true)
        XCTAssertNil(fixture.model.notice, "it is shown on its own screen")
        XCTAssertFalse(fixture.model.check?.canCapture == true)
    }

    func testLeavingAndTheBackgroundEndIt() async throws {
        for isBackground in [false, true] {
            let fixture = try AppFixture()
            try await fixture.says("a red circle")
            try await fixture.start(try bundle(answer: "a red circle"))
            await fixture.engine.hold(at: 1)
            fixture.model.go(.check)
            let check = Task { await fixture.model.startCheck() }
            try await eventually("it runs") { await fixture.engine.isHeld }
            try await eventually("it is seen") { fixture.model.check != nil && fixture.model.session.phase == .checking }
            XCTAssertEqual(fixture.model.check?.verdict, LocalizedText("check_running"))
            XCTAssertTrue(fixture.model.staysAwake)
            XCTAssertFalse(fixture.model.canCheck)
            XCTAssertEqual(fixture.model.status, LocalizedText("check_running"))
            if isBackground { fixture.model.enterBackground() } else { fixture.model.back() }
            await fixture.model.requests.settle()
            await fixture.engine.release()
            await check.value
            await fixture.model.settle()
            XCTAssertEqual(fixture.model.check?.verdict, isBackground ? LocalizedText("check_interrupted") : nil)
            XCTAssertFalse(fixture.model.staysAwake)
            fixture.model.enterForeground()
            await fixture.model.settle()
            XCTAssertEqual(fixture.model.session.phase, .ready)
        }
    }

    func testLeavingBeforeItBeginsEndsItToo() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start(try bundle(answer: "a red circle"))
        fixture.model.go(.check)
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        fixture.model.requests.enqueue { for await _ in gate { break } }
        let check = Task { await fixture.model.startCheck() }
        try await eventually("it is seen") { fixture.model.check?.verdict == LocalizedText("check_running") }
        fixture.model.back()
        XCTAssertNil(fixture.model.check)
        opener.yield()
        await check.value
        await fixture.model.settle()
        XCTAssertNil(fixture.model.check)
        XCTAssertFalse(fixture.model.staysAwake)
        XCTAssertEqual(fixture.model.session.phase, .ready)
        await fixture.model.startCheck()
        XCTAssertEqual(fixture.model.check?.verdict, LocalizedText("check_same", .count(3)))
    }

    func testTheBackgroundEndsItBeforeItBegins() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start(try bundle(answer: "a red circle"))
        try await fixture.take(20)
        await fixture.engine.hold(at: 1)
        await fixture.model.ask("Why?")
        try await eventually("it answers") { await fixture.engine.isHeld }
        fixture.model.go(.check)
        let check = Task { await fixture.model.startCheck() }  // once the answer has stopped
        try await eventually("it is seen") { fixture.model.session.phase == .checking }
        fixture.model.enterBackground()
        await fixture.model.requests.settle()
        await fixture.engine.release()
        try await eventually("it is reported") { fixture.model.check?.verdict == LocalizedText("check_interrupted") }
        XCTAssertFalse(fixture.model.staysAwake)
        await check.value
    }

    func testACheckRefusedByTheSessionIsNotShown() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        fixture.model.request { await $0.close() }  // not visible yet
        await fixture.model.startCheck()
        XCTAssertNil(fixture.model.check)
        XCTAssertFalse(fixture.model.staysAwake)
    }

    /// With one golden record that is right except for its answer.
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
