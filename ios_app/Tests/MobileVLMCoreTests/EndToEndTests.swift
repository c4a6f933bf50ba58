import Foundation
import MobileVLMCoreML
import XCTest

@testable import MobileVLMCore

#if os(Linux)
    import CoreML
#endif

/// The core and the Core ML engine with the demo's programs: a zipped bundle is imported, verified, loaded and asked, and answers like
/// `mvlm ask --backend coreml`. `scripts/test_ios.sh` runs it through `tests/ios_seam.py`; the environment variable `SEAM` names its folder.
/// On Linux the kit's evaluator runs the programs, on a Mac Core ML.
final class EndToEndTests: XCTestCase {
    private struct Turn: Decodable {
        let question: String
        let max_new_tokens: Int
        let answer: String
        let token_ids: [Int32]
        let ended: String
    }

    private struct Case: Decodable {
        let picture: String
        let turns: [Turn]
        let tokens: Int
    }

    private var seam: URL!
    private var temporary: URL!
    private var cases = [Case]()
    private var session: VLMSession!

    override func setUp() async throws {
        guard let path = ProcessInfo.processInfo.environment["SEAM"] else {
            throw XCTSkip("no Core ML programs and nothing to run them; run scripts/test_ios.sh")
        }
        seam = Golden.package.appending(path: path)
        cases = try JSONDecoder().decode(
            Golden.Cases<Case>.self, from: Data(contentsOf: seam.appending(path: "cases.json"))
        ).cases
        temporary = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        let bundle = try BundleStore(temporary).add(seam.appending(path: "demo.mvlm.zip"))
        #if os(Linux)
            FakeCoreML.programs = try SeamPrograms(seam.appending(path: "programs.sock"))
        #endif
        let compiled = CompiledModels(temporary.appending(path: "compiled"))
        let loader = ModelLoader(
            availableMemory: { 1 << 40 },
            openEngine: { folder, manifest in try await CoreMLEngine.open(folder, manifest, compiled: compiled) })
        session = VLMSession(load: loader.load) { _ in }
        await session.open(bundle.folder)
        await session.settle()
        try await requireNoProblem("the bundle")
    }

    override func tearDown() async throws {
        if let temporary { try FileManager.default.removeItem(at: temporary) }
    }

    func testEveryAnswerIsThatOfMvlmAsk() async throws {
        XCTAssertEqual(cases.map(\.turns.count), [1, 1, 1, 4, 4, 4, 4, 4], "golden records, then conversations")
        for golden in cases {
            try await show(golden)
            for turn in golden.turns { try await ask(turn, of: golden) }
            let used = await session.state.usedTokens
            XCTAssertEqual(used, golden.tokens, "\(golden.picture): tokens in the KV cache")
        }
    }

    func testUndoneAndLostTurnsLeaveNoTrace() async throws {
        let golden = cases[3]
        try await show(golden)
        try await ask(golden.turns[0], of: golden)
        await session.ask("What color is the object at the top right?", maxNewTokens: 3)
        await session.settle()
        await session.undo()
        await session.settle()
        try await ask(golden.turns[1], of: golden)
        // The system reclaims memory: the conversation is restored in a new KV cache.
        await session.background()
        await session.releaseMemory()
        await session.settle()
        await session.foreground()
        await session.settle()
        for turn in golden.turns[2...] { try await ask(turn, of: golden) }
        await session.newChat()
        for turn in golden.turns { try await ask(turn, of: golden) }
    }

    func testThePhoneIsCheckedAndCaptured() async throws {
        let capture = seam.appending(path: "capture.zip")
        let reports = Reports()
        await session.check { model in
            let check = SelfCheck(
                model,
                decode: { [seam = capture.deletingLastPathComponent()] picture in
                    // The golden pictures as written by `ios_seam.py`, because the system reads PNG on an iPhone.
                    try Golden.picture(seam.appending(path: picture.deletingPathExtension().lastPathComponent + ".ppm"))
                }, thermal: { .nominal }, peakBytes: { 0 })
            let report = try await check.run()
            reports.add(report)
            guard let mostInformative = report.mostInformative, let methods = try model.engine as? CoreMLEngine,
                let made = try await report.capture(mostInformative, model, methods, device: ["model": "a test"])
            else { return XCTFail("expected a record that was answered") }
            try CaptureWriter.write(made, to: capture)
            model.release()  // it is loaded again afterwards
        }
        await session.settle()
        try await requireNoProblem("the check")
        let report = try XCTUnwrap(reports.all.first)
        XCTAssertEqual(report.findings.filter { !$0.same }.map(\.line), [])
        XCTAssertEqual(report.records.count, 3)
        let measurements = report.measurements
        for seconds in [measurements.imageEncodeSeconds, measurements.prefillSeconds, measurements.tokensPerSecond] {
            XCTAssertGreaterThan(seconds, 0)
        }
        try await show(cases[0])
        try await ask(cases[0].turns[0], of: cases[0])
    }

    private func show(_ golden: Case) async throws {
        await session.show(try Golden.picture(seam.appending(path: golden.picture)))
        await session.settle()
        try await requireNoProblem(golden.picture)
    }

    private func ask(_ turn: Turn, of golden: Case) async throws {
        let place = "\(golden.picture): \(turn.question)"
        let isAsked = await session.ask(turn.question, maxNewTokens: turn.max_new_tokens)
        XCTAssertTrue(isAsked, place)
        await session.settle()
        try await requireNoProblem(place)
        let turns = await session.state.turns
        let got = try XCTUnwrap(turns.last, place)
        XCTAssertEqual(got.tokenIDs, turn.token_ids, place)
        XCTAssertEqual(got.answer, turn.answer, place)
        XCTAssertEqual(got.ended.map { "\($0)" }, turn.ended, place)
    }

    private func requireNoProblem(_ what: String) async throws {
        let state = await session.state
        if let problem = state.problem { throw EngineError("\(what): \(problem)") }
    }
}

private final class Reports: @unchecked Sendable {
    private let lock = NSLock()
    private var reports = [CheckReport]()

    var all: [CheckReport] { lock.withLock { reports } }
    func add(_ report: CheckReport) { lock.withLock { reports.append(report) } }
}
