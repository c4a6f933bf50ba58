import XCTest

@testable import MobileVLMCore

final class LiveSessionTests: XCTestCase {
    private let fixture = SessionFixture()
    private lazy var live = LiveSession(fixture.session, question: "What is this?", maxNewTokens: 8, now: { [time] in time.now })
    private let time = ToldClock()
    private let condition = PhoneCondition()

    /// A frame of the scene `value`; any two scenes differ.
    private static func frame(_ value: Int) -> FrameSketch {
        let bytes = (0..<64 * 64).map { UInt8(truncatingIfNeeded: $0 * (value + 3) / 64 * 53) }
        return bytes.withUnsafeBytes { try! FrameSketch(width: 64, height: 64, rowStride: 64, luma: $0) }
    }

    @discardableResult
    private func comes(_ value: Int, _ condition: PhoneCondition? = nil, after: Duration = .seconds(1)) async -> LiveAction {
        await Self.comes(value, live, time, condition ?? self.condition, after: after)
    }

    private static func comes(
        _ value: Int, _ live: LiveSession, _ time: ToldClock, _ condition: PhoneCondition, after: Duration = .seconds(1)
    ) async -> LiveAction {
        time.pass(after)
        return await live.onFrame(frame(value), condition) { SessionFixture.picture(value) }
    }

    private func open() async {
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
    }

    func testEachNewSceneIsDescribedOnce() async {
        await open()
        for value in 1...3 {
            await requireAction(.describe, value)
            await fixture.session.settle()
            let turns = await fixture.session.state.turns
            XCTAssertEqual(turns.map(\.question), ["What is this?"])
            await fixture.requireSound(value)
            await requireAction(.skip, value)
        }
        let looks = await fixture.engine.looks
        XCTAssertEqual(looks, 3)
    }

    func testFramesAreSkippedWithoutAModel() async {
        let said = Log(), time = ToldClock()
        let fixture = SessionFixture(whileLoading: { session in
            let live = LiveSession(session, question: "What is this?", now: { time.now })
            said.add(await Self.comes(2, live, time, PhoneCondition()) == .skip ? "skipped" : "not skipped")
        })
        let live = LiveSession(fixture.session, question: "What is this?", now: { time.now })
        let before = await Self.comes(1, live, time, condition)
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        let after = await Self.comes(3, live, time, condition)
        XCTAssertEqual([before, after], [.skip, .describe])
        XCTAssertEqual(said.all, ["skipped"])
        await fixture.session.settle()
        await fixture.requireSound(3)
    }

    func testAnotherSceneStopsTheAnswerInTheMiddle() async {
        await open()
        let said = Log()
        await fixture.engine.meanwhile { [live, time, condition] call in
            if said.add(call) == "next", said.count("next") == 3 {
                said.add(await Self.comes(2, live, time, condition) == .replace ? "replaced" : "not replaced")
            }
        }
        await comes(1)
        await fixture.session.settle()
        XCTAssertEqual(said.count("replaced"), 1)
        let turns = await fixture.session.state.turns, looks = await fixture.engine.looks
        XCTAssertEqual(turns.count, 1)
        XCTAssertEqual(looks, 2)
        await fixture.requireSound(2)
    }

    func testTheNewestFrameWinsWhileAnotherIsEncoded() async {
        await open()
        let said = Log()
        await fixture.engine.meanwhile { [live, time, condition] call in
            guard said.add(call) == "encodeImage", said.count("encodeImage") == 1 else { return }
            for value in 2...9 {
                if await Self.comes(value, live, time, condition) != .replace { said.add("not replaced") }
            }
        }
        await comes(1)
        await fixture.session.settle()
        XCTAssertEqual(said.count("not replaced"), 0)
        let looks = await fixture.engine.looks
        XCTAssertEqual(looks, 2)
        await fixture.requireSound(9)
    }

    func testAMovingCameraGetsItsAnswers() async {
        await open()
        let looks = Log()
        await fixture.engine.meanwhile { [live, time, condition] call in
            if call == "encodeImage" { _ = await Self.comes(1 + looks.addAndCount("encodeImage"), live, time, condition) }
        }
        await comes(1)
        await fixture.session.settle()
        XCTAssertEqual(looks.count("encodeImage"), 1 + LivePolicy.maxReplaced)
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.ended), [.complete])
        await fixture.requireSound(1 + LivePolicy.maxReplaced)
    }

    func testTheAgeOfTheFrameIsThatOfItsAnswer() async {
        await open()
        await comes(1)
        let taken = time.now
        await fixture.session.settle()
        time.pass(.milliseconds(2_500))
        var age = await live.frameAge(fixture.session.state)
        XCTAssertEqual(age, .milliseconds(2_500))
        await comes(1)
        age = await live.frameAge(fixture.session.state)
        XCTAssertEqual(age, time.now - taken)
        await fixture.session.show(SessionFixture.picture(7))  // the user takes a picture
        age = await live.frameAge(fixture.session.state)
        XCTAssertNil(age)
    }

    func testHeatAndTheBackgroundStopWhatRuns() async {
        for paused in [PhoneCondition(thermal: .critical), PhoneCondition(isInForeground: false)] {
            let fixture = SessionFixture(FakeEngine(endsOften: false)), time = ToldClock(), said = Log()
            let live = LiveSession(fixture.session, question: "What is this?", maxNewTokens: 8, now: { time.now })
            await fixture.session.open(SessionFixture.folder)
            await fixture.session.settle()
            await fixture.engine.meanwhile { call in
                if said.add(call) == "next", said.count("next") == 3 {
                    said.add(await Self.comes(1, live, time, paused) == .pause ? "paused" : "not paused")
                }
            }
            _ = await Self.comes(1, live, time, PhoneCondition())
            await fixture.session.settle()
            XCTAssertEqual(said.count("paused"), 1)
            let turn = await fixture.session.state.turns.last
            XCTAssertEqual(turn?.ended, .stopped)
            XCTAssertEqual(turn?.tokenIDs.count, 3)
            let again = await Self.comes(1, live, time, PhoneCondition(), after: .seconds(9))
            XCTAssertEqual(again, .describe)
            await fixture.session.settle()
        }
    }

    func testAFailureIsRetriedAfterAPause() async {
        await open()
        await fixture.engine.fail()
        await comes(1)
        await fixture.session.settle()
        let problem = await fixture.session.state.problem
        XCTAssertEqual(problem, .engine("engine: Failure()"))
        await requireAction(.skip, 1, after: .milliseconds(100))
        await requireAction(.describe, 1, after: .milliseconds(500))
        await fixture.session.settle()
        await fixture.requireSound(1)
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.count, 1)
    }

    func testAnInvalidFrameIsSkipped() async {
        await open()
        do {
            try await live.onFrame(Self.frame(1), condition) { throw PictureError("frame: got nothing") }
            XCTFail("expected an error")
        } catch {
            XCTAssertEqual(error as? PictureError, PictureError("frame: got nothing"))
        }
        await requireAction(.describe, 1)
        await fixture.session.settle()
        await fixture.requireSound(1)
    }

    private func requireAction(
        _ action: LiveAction, _ value: Int, after: Duration = .seconds(1), line: UInt = #line
    ) async {
        let got = await comes(value, after: after)
        XCTAssertEqual(got, action, line: line)
    }
}

/// A clock that advances only on request.
private final class ToldClock: @unchecked Sendable {
    private let lock = NSLock()
    private var time = Duration.zero

    var now: Duration { lock.withLock { time } }
    func pass(_ duration: Duration) { lock.withLock { time += duration } }
}
