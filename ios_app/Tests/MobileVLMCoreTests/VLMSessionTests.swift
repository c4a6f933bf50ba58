import Foundation
import XCTest

@testable import MobileVLMCore

final class VLMSessionTests: XCTestCase {
    private let fixture = SessionFixture()
    private var engine: FakeEngine { fixture.engine }
    private var states: States { fixture.states }

    // MARK: - normal use

    func testAPictureIsEncodedBeforeTheQuestionAndTheAnswerStreams() async throws {
        let session = fixture.session
        await session.open(SessionFixture.folder)
        await session.settle()
        await expect(session, .ready)
        await session.show(SessionFixture.picture(1))
        await session.settle()
        await expect(session, .imageReady)
        let looks = await engine.looks
        XCTAssertEqual(looks, 1)
        let isAsked = await session.ask("What is this?")
        XCTAssertTrue(isAsked)
        await session.settle()
        await requireSound(1)
        let phases = states.all.map(\.phase).reduce(into: [Phase]()) { if $0.last != $1 { $0.append($1) } }
        XCTAssertEqual(phases, [.loading, .ready, .encoding, .imageReady, .answering, .imageReady])
        let answers = states.all.compactMap { $0.turns.last?.answer }
        XCTAssertEqual(answers, answers.sorted { $0.count < $1.count }, "the answer grows")
    }

    func testTheProgressOfALoadIsReported() async throws {
        let fixture = SessionFixture(whileLoading: { session in
            try await eventually("it is reported") { await session.state.verified != nil }
        })
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        await expect(fixture.session, .ready)
        XCTAssertEqual(fixture.states.all.map(\.verified), [nil, 0.5, nil])
    }

    /// Reports run concurrently.
    func testTheProgressOfALoadNeverGoesBack() async throws {
        let states = States()
        let session = VLMSession(
            load: { folder, _, progress in
                for share in [0.5, 0.25, 0.75] {
                    progress(share)
                    if share != 0.25 { try await eventually("\(share) is reported") { states.all.last?.verified == share } }
                }
                return LoadedModel(
                    folder: folder, manifest: SessionFixture.manifest, engine: FakeEngine(), tokenizer: SessionFixture.tokenizer)
            }, listener: { states.add($0) })
        await session.open(SessionFixture.folder)
        await session.settle()
        XCTAssertEqual(states.all.compactMap(\.verified), [0.5, 0.75])
    }

    func testAnAnswerOfNoTokensIsNotAskedFor() async throws {
        let session = await fixture.seen().session
        let isAsked = await session.ask("What is this?", maxNewTokens: 0)
        XCTAssertFalse(isAsked)
        let state = await session.state
        XCTAssertNil(state.waitingQuestion)
        XCTAssertEqual(state.turns, [])
    }

    func testAFollowUpFeedsOnlyWhatIsNew() async throws {
        let session = await asked("What is this?")
        let before = await session.state.usedTokens
        await engine.resetCounts()
        await session.ask("Why?")
        await session.settle()
        await requireSound(1)
        let looks = await engine.looks, fed = await engine.fed, after = await session.state.usedTokens
        XCTAssertEqual(looks, 0)
        XCTAssertEqual(fed, after - before, "each new row once, no row again")
    }

    func testUndoAndANewChatKeepThePicture() async throws {
        let session = await asked("What is this?", "Why?")
        await engine.resetCounts()
        await session.undo()
        await session.settle()
        await session.ask("How?")
        await session.settle()
        await requireSound(1)
        await session.newChat()
        await session.settle()
        await session.ask("Who?")
        await session.settle()
        await requireSound(1)
        let turns = await session.state.turns.count, looks = await engine.looks
        XCTAssertEqual([turns, looks], [1, 0])
    }

    func testANewPictureForgetsTheConversationButNotThePrefix() async throws {
        let session = await asked("What is this?")
        await engine.resetCounts()
        await session.show(SessionFixture.picture(2), question: "And this?")
        await session.settle()
        await requireSound(2)
        let fed = await engine.fed, used = await session.state.usedTokens, turns = await session.state.turns.count
        XCTAssertLessThan(fed, used, "the text before the picture stays in the cache")
        XCTAssertEqual(turns, 1)
    }

    func testAnEarlierSessionsConversationIsRestored() async throws {
        let said = await asked("What is this?").state.turns
        let kept = try JSONDecoder().decode([ChatTurn].self, from: JSONEncoder().encode(said))
        XCTAssertEqual(kept, said)
        let another = SessionFixture(), session = another.session
        await session.open(SessionFixture.folder)
        await session.resume(SessionFixture.picture(1), said: kept)
        let number = await session.state.picture
        let isAsked = await session.ask("Why?")
        XCTAssertTrue(isAsked)
        await session.settle()
        await another.requireSound(1)
        let turns = await session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
        let isWhole = another.states.all.filter { $0.picture == number }.allSatisfy { $0.turns.first == said.first }
        XCTAssertTrue(isWhole, "the picture is never shown without what was said about it")
    }

    func testAQuestionMayBeAskedWhileLoading() async throws {
        let asked = Log()
        let fixture = SessionFixture(whileLoading: { session in
            await session.show(SessionFixture.picture(1))
            for question in ["What is this?", "And this?"] { asked.add("\(await session.ask(question))") }
        })
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        XCTAssertEqual(asked.all, ["true", "false"])
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?"])
        await fixture.requireSound(1)
    }

    // MARK: - stopping, memory, the background

    func testStoppingKeepsThePartialAnswer() async throws {
        let fixture = await SessionFixture(FakeEngine(endsOften: false)).seen(), calls = Log()
        await fixture.engine.meanwhile { [session = fixture.session] call in
            if call == "next", calls.addAndCount(call) == 3 { await session.stop() }
        }
        await fixture.asked("What is this?")
        await fixture.asked("Why?", maxNewTokens: 2)
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.ended), [.stopped, .length])
        XCTAssertEqual(turns.map(\.tokenIDs.count), [3, 2])
        await fixture.requireSound(1, endsOften: false)
    }

    func testTheBackgroundStopsMayFreeTheModelAndTheConversationIsRestored() async throws {
        let session = await asked("What is this?")
        await session.background()
        await session.releaseMemory()
        await session.settle()
        await expect(session, .suspended)
        await session.ask("Why?")
        await session.settle()
        let waiting = await session.state.waitingQuestion
        XCTAssertEqual(waiting, "Why?")
        await session.foreground()
        await session.settle()
        await requireSound(1)
        let turns = await session.state.turns.count
        XCTAssertEqual(turns, 2)
    }

    func testALoadThatTheBackgroundCutIsDoneInTheForeground() async throws {
        let loads = Log()
        let fixture = SessionFixture(whileLoading: { session in
            guard loads.addAndCount("load") == 1 else { return }
            await session.background()
            try Task.checkCancellation()
        })
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        await expect(fixture.session, .suspended)
        await fixture.session.show(SessionFixture.picture(1))
        await fixture.session.settle()
        XCTAssertEqual(loads.all.count, 1, "nothing is loaded in the background")
        await fixture.session.foreground()
        await fixture.session.settle()
        await expect(fixture.session, .imageReady)
        XCTAssertEqual(loads.all.count, 2)
    }

    func testWhatTheBackgroundCutIsDoneAgainInTheForeground() async throws {
        for cut in ["encodeImage", "prefill", "next"] {
            let fixture = SessionFixture(), calls = Log()
            await fixture.session.open(SessionFixture.folder)
            await fixture.session.settle()
            await fixture.engine.meanwhile { [session = fixture.session] call in
                guard call == cut, calls.addAndCount(call) == 1 else { return }
                await session.background()
                throw CancellationError()
            }
            await fixture.session.show(SessionFixture.picture(1), question: "What is this?")
            await fixture.session.settle()
            var state = await fixture.session.state
            XCTAssertNil(state.problem, cut)
            XCTAssertEqual(state.waitingQuestion, "What is this?", cut)
            XCTAssertEqual(state.turns, [], cut)
            await fixture.session.foreground()
            await fixture.session.settle()
            state = await fixture.session.state
            XCTAssertEqual(state.turns.map(\.question), ["What is this?"], cut)
            await fixture.requireSound(1, cut)
        }
    }

    func testAnAnswerThatTheUserStoppedIsNotAskedAgain() async throws {
        let fixture = await SessionFixture(FakeEngine(endsOften: false)).seen(), calls = Log()
        await fixture.engine.meanwhile { [session = fixture.session] call in
            guard call == "next", calls.addAndCount(call) == 3 else { return }
            await session.stop()
            await session.background()
            throw CancellationError()
        }
        await fixture.asked("What is this?")
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.ended), [.stopped])
        let waiting = await fixture.session.state.waitingQuestion
        XCTAssertNil(waiting)
    }

    func testClearingForgetsThePictureAndTheConversation() async {
        let session = await asked("What is this?")
        let before = await session.state.picture
        await session.clear()
        await session.settle()
        var state = await session.state
        XCTAssertEqual(state.phase, .ready)
        XCTAssertEqual(state.turns, [])
        XCTAssertEqual(state.usedTokens, 0)
        XCTAssertNotEqual(state.picture, before)
        let isAsked = await session.ask("Why?")
        XCTAssertFalse(isAsked, "there is no picture")
        // Also while it is encoded, and while an answer about it is coming.
        for call in ["encodeImage", "next"] {
            await engine.meanwhile { [session] in if $0 == call { await session.clear() } }
            await session.show(SessionFixture.picture(2), question: "What is this?")
            await session.settle()
            state = await session.state
            XCTAssertEqual(state.phase, .ready, call)
            XCTAssertEqual(state.turns, [], call)
            XCTAssertNil(state.waitingQuestion, call)
        }
        await engine.meanwhile(nil)
        await session.show(SessionFixture.picture(3), question: "What is this?")
        await session.settle()
        await requireSound(3)
    }

    func testClearingWhileThePictureIsResizedForgetsIt() async {
        let cleared = Log()
        let fixture = SessionFixture(onState: { session, state in
            guard state.phase == .encoding, !state.isPictureWaiting, cleared.all.isEmpty else { return }
            cleared.add("while it is resized")
            session.assumeIsolated { $0.clear() }
        })
        _ = await fixture.seen()
        let state = await fixture.session.state
        XCTAssertEqual(cleared.all.count, 1)
        XCTAssertEqual(state.phase, .ready)
        let isAsked = await fixture.session.ask("Why?")
        XCTAssertFalse(isAsked)
    }

    func testAQuestionMayBeAskedWhileThePictureIsResized() async {
        let asked = Log()
        let fixture = SessionFixture(onState: { session, state in
            guard state.phase == .encoding, !state.isPictureWaiting, asked.all.isEmpty else { return }
            asked.add("while it is resized")
            asked.add("\(session.assumeIsolated { $0.ask("Why?") })")
        })
        _ = await fixture.seen()
        XCTAssertEqual(asked.all, ["while it is resized", "true"])
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["Why?"])
        await fixture.requireSound(1)
    }

    func testAQuestionMayBeAskedAsSoonAsItsConversationHasBegun() async {
        let session = await asked("What is this?"), asked = Log()
        await engine.meanwhile { [session] call in
            guard call == "next", asked.all.isEmpty else { return }
            await session.newChat()
            asked.add("\(await session.ask("How?"))")
        }
        await session.ask("Why?")
        await session.settle()
        XCTAssertEqual(asked.all, ["true"])
        let turns = await session.state.turns
        XCTAssertEqual(turns.map(\.question), ["How?"])
        await requireSound(1)
    }

    func testAFullContextIsAProblemThatANewChatSolves() async throws {
        let session = await asked()
        let long = String(repeating: "What is the colour of the thing on the left? ", count: 60)
        await session.ask(long)
        await session.settle()
        var state = await session.state
        XCTAssertEqual(state.problem, .contextFull(question: long))
        XCTAssertEqual(state.turns, [])
        await session.newChat()
        await session.ask("What is this?")
        await session.settle()
        await requireSound(1)
        state = await session.state
        XCTAssertNil(state.problem)
        XCTAssertLessThanOrEqual(state.usedTokens, state.maxTokens)
    }

    func testAnAnswerIsTruncatedAtItsTokenLimit() async throws {
        let session = await asked()
        await session.ask("What is this?", maxNewTokens: 1)
        await session.settle()
        let turns = await session.state.turns
        let turn = try XCTUnwrap(turns.last)
        XCTAssertTrue(turn.ended == .length && turn.tokenIDs.count == 1 || turn.ended == .complete && turn.tokenIDs.isEmpty)
        await session.ask("Why?")
        await session.settle()
        await requireSound(1)
    }

    // MARK: - failures

    func testAnEngineThatFailsIsAProblemNotAnAnswer() async throws {
        let session = await asked("What is this?")
        await engine.fail()
        await session.ask("Why?")
        await session.settle()
        var state = await session.state
        XCTAssertEqual(state.turns.last?.ended, .failed)
        XCTAssertEqual(state.turns.last?.answer, "")
        guard case .engine = state.problem else { return XCTFail("got \(String(describing: state.problem))") }
        await session.ask("Why?")
        await session.settle()
        state = await session.state
        XCTAssertNil(state.problem)
        await requireSound(1)
        await engine.fail()
        await session.show(SessionFixture.picture(2), question: "And this?")
        await session.settle()
        state = await session.state
        XCTAssertNil(state.waitingQuestion, "it isn't asked later, without the user")
        XCTAssertEqual(state.turns, [])
        await session.retry()
        await session.settle()
        await session.ask("What is this?")
        await session.settle()
        await requireSound(2)
    }

    func testOpeningAnotherBundleWhileOneLoads() async throws {
        let two = URL(filePath: "/two.mvlm")
        let fixture = SessionFixture(whileLoading: { session in
            if await session.requestedBundle == SessionFixture.folder { await session.open(two) }
        })
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        let name = await fixture.session.state.bundle
        XCTAssertEqual(name, "two")
        await expect(fixture.session, .ready)
        let closed = SessionFixture(whileLoading: { await $0.close() })
        await closed.session.open(SessionFixture.folder)
        await closed.session.settle()
        await expect(closed.session, .idle)
    }

    /// It was imported again meanwhile, so that the files read belong to both.
    func testABundleThatIsOpenedAgainWhileItsLoadFailsIsLoadedAgain() async throws {
        let (loads, count) = AsyncStream.makeStream(of: Void.self)
        let fixture = SessionFixture(whileLoading: { session in
            count.yield()
            if await session.openCount == 1 {
                await session.open(SessionFixture.folder)
                throw BundleError("a.mvlm: got another manifest")
            }
        })
        await fixture.session.open(SessionFixture.folder)
        await fixture.session.settle()
        await expect(fixture.session, .ready)
        count.finish()
        let loaded = await loads.reduce(0) { sum, _ in sum + 1 }
        XCTAssertEqual(loaded, 2)
    }

    /// For any order of requests: nothing hangs, the engine's contract is kept, and every answer equals the one that the conversation
    /// gets from its own engine.
    func testAnyOrderOfRequestsEndsConsistently() async throws {
        for seed in UInt64(0)..<60 {
            var random = SplitMix64(state: seed)
            let fixture = SessionFixture(), session = fixture.session, engine = fixture.engine
            await session.open(SessionFixture.folder)
            var shown = 1
            for _ in 0..<25 {
                switch Int(random.nextUnit() * 14) {
                case 0...1:
                    shown = 1 + Int(random.nextUnit() * 3)
                    await session.show(SessionFixture.picture(shown))
                case 2...5: await session.ask(["Why?", "What is this?", "How many?"][Int(random.nextUnit() * 3)])
                case 6: await session.stop()
                case 7: await session.undo()
                case 8: await session.newChat()
                case 9: await session.background()
                case 10: await session.releaseMemory()
                case 11: await session.foreground()
                case 12: await engine.fail(Int(random.nextUnit() * 2))
                default: await session.retry()
                }
                for _ in 0..<Int(random.nextUnit() * 30) { await Task.yield() }
            }
            await engine.fail(0)
            await session.foreground()
            await session.retry()
            await session.show(SessionFixture.picture(shown), question: "Is all well?")
            await session.settle()
            await expect(session, .imageReady)
            await fixture.requireSound(shown, "seed \(seed)")
            let turns = await session.state.turns
            XCTAssertEqual(turns.map(\.question), ["Is all well?"], "seed \(seed)")
        }
    }

    // MARK: -

    /// A session with picture 1 that has answered `questions`.
    private func asked(_ questions: String...) async -> VLMSession {
        let session = await fixture.seen().session
        for question in questions { await fixture.asked(question) }
        return session
    }

    private func expect(_ session: VLMSession, _ phase: Phase, line: UInt = #line) async {
        let got = await session.state.phase
        XCTAssertEqual(got, phase, line: line)
    }

    /// Checks that there is an answer, and that every answer is the engine's about picture `shade` after the preceding turns.
    private func requireSound(_ shade: Int, _ what: String = "", line: UInt = #line) async {
        await fixture.requireSound(shade, what, line: line)
        let turns = await fixture.session.state.turns
        XCTAssertFalse(turns.isEmpty, what, line: line)
    }
}
