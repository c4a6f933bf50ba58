import Foundation
import XCTest

@testable import MobileVLMCore

final class SelfCheckTests: XCTestCase {
    private var folder: URL!

    override func setUp() {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    }

    override func tearDown() {
        try? FileManager.default.removeItem(at: folder)
    }

    private func fixture(maxContext: Int = 512, _ change: (inout Record) -> Void = { _ in }) async throws -> CheckFixture {
        try await CheckFixture(in: folder.appending(path: UUID().uuidString), maxContext: maxContext, change: change)
    }

    func testACorrectPhonePassesEveryStage() async throws {
        let fixture = try await fixture(), found = Log(), progress = Log()
        let report = try await fixture.check().run(
            progress: { progress.add("\($0) of \($1)") }, onFinding: { found.add($0.line) })
        let lines = ["preprocessing: the same pixels", "tokenizer: the same 44 ids", "decoder: the same answer"]
        XCTAssertEqual(report.findings.map(\.line), CheckFixture.names.flatMap { name in lines.map { "✓ \(name): \($0)" } })
        XCTAssertEqual(found.all, report.findings.map(\.line))
        XCTAssertEqual(progress.all, ["0 of 2", "1 of 2", "2 of 2"])
        XCTAssertTrue(report.same)
        let misuse = await fixture.engine.misuse
        XCTAssertNil(misuse)
    }

    func testWhatDiffersIsNamed() async throws {
        func differing(_ change: (inout Record) -> Void) async throws -> [String] {
            let findings = try await fixture(change).check().run().findings.filter { !$0.same && $0.picture == "half.ppm" }
            return findings.map { "\($0.stage): \($0.detail)" }
        }
        let zeros = String(repeating: "1", count: 64)
        let pixels = try await differing { $0.pixelsSHA256 = zeros }
        XCTAssertEqual(pixels.count, 1)
        XCTAssertTrue(pixels[0].hasPrefix("preprocessing: got "), pixels[0])
        XCTAssertTrue(pixels[0].hasSuffix("expected \(zeros.prefix(40))…"), pixels[0])
        let ids = try await differing { $0.idsAfterImage.removeFirst() }
        XCTAssertEqual(ids.count, 1)
        XCTAssertTrue(ids[0].hasPrefix("tokenizer: got [1, "), ids[0])
        var said = ""
        let text = try await differing { record in
            if said.isEmpty { said = record.answer }  // the first picture's
            record.answer = "\(said.prefix(3))€"
        }
        XCTAssertEqual(text, ["decoder: from character 4: got '\(said.dropFirst(3).prefix(20))', expected '€'"])
        let tokens = try await differing { $0.answerIDs = [5] }
        XCTAssertEqual(tokens, ["decoder: the same answer in other tokens"])
        let untold = try await differing { $0.answerIDs = nil }
        XCTAssertEqual(untold, [])
        let end = try await differing { $0.stopReason = "eos" }
        XCTAssertEqual(end, ["decoder: the same answer, but it ended by length, expected eos"])
        let question = try await differing { $0.question = " " }
        XCTAssertEqual(question, ["tokenizer: question: got an empty text, expected a question"])
    }

    func testAnEngineThatFailsIsAFinding() async throws {
        let fixture = try await fixture()
        await fixture.engine.meanwhile { if $0 == "next" { throw EngineError("it broke") } }
        let report = try await fixture.check().run()
        let why = report.findings.filter { !$0.same }.map(\.detail)
        XCTAssertEqual(why, ["the engine failed: it broke", "the engine failed: it broke"])
        XCTAssertNil(report.mostInformative)
        XCTAssertFalse(report.same)
        let capture = try await report.capture(report.records[0], fixture.model, FakeMethods(), device: [:])
        XCTAssertNil(capture)
    }

    func testAContextTooShortIsAFinding() async throws {
        let findings = try await fixture(maxContext: 85).check().run().findings.filter { !$0.same }
        XCTAssertEqual(Set(findings.map(\.detail)), ["the question and its answer don't fit the context"])
    }

    /// The clock advances a quarter of a second with each reading.
    func testThePhoneIsTimed() async throws {
        let measurements = try await fixture().check().run().measurements
        XCTAssertEqual(measurements.loadSeconds, 1.5)
        XCTAssertEqual(measurements.imageEncodeSeconds, 0.25)
        XCTAssertEqual(measurements.prefillSeconds, 0.25)
        XCTAssertEqual(measurements.firstTokenSeconds, 0.5)
        XCTAssertEqual(measurements.tokensPerSecond, 4)
        XCTAssertEqual(measurements.generatedTokens, 16)
        XCTAssertEqual(measurements.peakBytes, 123 << 20)
        XCTAssertEqual([measurements.thermalBefore, measurements.thermalAfter], [.nominal, .fair])
    }

    func testMediansAreOfTheMiddle() {
        func measurements(_ seconds: [Int]) -> Measurements {
            let times = seconds.map { second in
                var times = AnswerTimes(imageSeconds: Double(second), asked: .zero)
                times.text(at: .seconds(second))
                times.answered(tokens: 1)
                return times
            }
            return Measurements(times, loadSeconds: 0, peakBytes: 0, thermalBefore: .nominal, thermalAfter: .nominal)
        }
        XCTAssertEqual(measurements([9, 1, 2]).imageEncodeSeconds, 2)
        XCTAssertEqual(measurements([9, 1, 2, 4]).prefillSeconds, 3)
        XCTAssertEqual(measurements([1]).tokensPerSecond, 0, "one token has no speed")
        XCTAssertEqual(measurements([]).firstTokenSeconds, 0)
    }

    func testTheRecordThatDiffersIsCaptured() async throws {
        let first = try await CheckFixture.record(try await fixture().model, try await fixture().pixels("half.ppm"))
        let fixture = try await fixture { if $0.pixelsSHA256 != first.pixelsSHA256 { $0.answer = "blue" } }
        let report = try await fixture.check().run()
        let mostInformative = try XCTUnwrap(report.mostInformative)
        XCTAssertEqual(mostInformative.golden.name, "exact-demo.ppm")
        fixture.model.release()
        let made = try await report.capture(mostInformative, fixture.model, FakeMethods(), device: ["model": "a phone"])
        let capture = try XCTUnwrap(made)
        let sound = try await CheckFixture.record(fixture.model, try fixture.pixels("exact-demo.ppm"))
        XCTAssertEqual(capture.record, sound)
        XCTAssertEqual(capture.stats, report.measurements)
        XCTAssertEqual(capture.manifestID, fixture.model.manifest.id)
        XCTAssertEqual(capture.picture?.pixels, mostInformative.picture.pixels)
        let whole = try await self.fixture().check().run()
        XCTAssertEqual(whole.mostInformative?.golden.name, "half.ppm", "the first where all are the same")
    }

    func testCancellingEndsItAlsoInTheLastRecord() async throws {
        for number in 1...2 {
            let fixture = try await fixture(), check = fixture.check(), calls = Log()
            await fixture.engine.meanwhile { call in
                calls.add(call)
                if call == "next", calls.count("encodeImage") == number { withUnsafeCurrentTask { $0?.cancel() } }
            }
            let result = await Task { try await check.run() }.result
            XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
            let looks = await fixture.engine.looks
            XCTAssertEqual(looks, number)
        }
    }

    func testRecordsThatCanNotBeReadSayWhy() async throws {
        let fixture = try await fixture()
        let values = try JSONSerialization.jsonObject(with: Data(contentsOf: fixture.index)) as! [String: Any]
        let record = values["records"] as! [[String: Any]]
        func refused(_ values: Any, _ says: String, line: UInt = #line) throws {
            try fixture.write(values)
            assertThrows("golden.json", says, line: line) { try GoldenRecords.read(fixture.folder, fixture.model.manifest) }
        }
        try refused([:] as [String: Any], "records: got nothing")
        try refused(["records": []], "records: got none, expected a list of records")
        try refused(["records": [1]], "records.Index 0: got 1")
        for field in record[0].keys where field != "answer_ids" {
            var without = record[0]
            without[field] = nil
            try refused(["records": [without]], "\(field): got nothing")
            without[field] = true
            try refused(["records": [without]], "\(field): got true")
        }
        try refused(["records": [record[0].merging(["picture": "../manifest.json"]) { $1 }]], "expected a listed file")
        try Data("{".utf8).write(to: fixture.index)
        assertThrows("golden.json", "JSON") { try GoldenRecords.read(fixture.folder, fixture.model.manifest) }
        try FileManager.default.removeItem(at: fixture.index)
        assertThrows("golden.json", "can't be read") { try GoldenRecords.read(fixture.folder, fixture.model.manifest) }
        let without = try ManifestReader.read(TestBundle(largest: 10).manifestBytes, name: "test")
        assertThrows("got no golden records", "mvlm golden") { try GoldenRecords.read(fixture.folder, without) }
    }
}
