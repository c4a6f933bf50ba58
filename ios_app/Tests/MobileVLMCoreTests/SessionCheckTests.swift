import XCTest

@testable import MobileVLMCore

/// A check borrows the model and returns it.
final class SessionCheckTests: XCTestCase {
    /// A session that has answered a question about picture 1.
    private func asked() async -> SessionFixture {
        let fixture = await SessionFixture(FakeEngine(endsOften: false)).seen()
        await fixture.asked("What is this?", maxNewTokens: 4)
        return fixture
    }

    /// A check that changes the engine's cache.
    @Sendable private static func use(_ model: LoadedModel) async throws {
        try await model.engine.encodeImage([UInt8](repeating: 9, count: 3 * 168 * 168))
        try await model.engine.prefill([.token(1), .token(300)], at: 0)
    }

    func testTheConversationIsRestoredAfterwards() async {
        let fixture = await asked(), cache = await fixture.engine.cache, ran = Log()
        let isBegun = await fixture.session.check { [session = fixture.session] model in
            ran.add("\(await session.state.phase)")
            try await Self.use(model)
        }
        XCTAssertTrue(isBegun)
        await fixture.session.settle()
        XCTAssertEqual(ran.all, ["checking"])
        await expect(fixture, .imageReady)
        let after = await fixture.engine.cache, used = await fixture.session.state.usedTokens
        XCTAssertEqual(Array(after.prefix(cache.count)), cache)
        XCTAssertEqual(used, after.count)
        await fixture.asked("Why?", maxNewTokens: 4)
        await fixture.requireSound(1, endsOften: false)
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
    }

    func testAModelThatWasReleasedIsLoadedAgain() async {
        let loads = Log()
        let fixture = await SessionFixture(FakeEngine(endsOften: false), whileLoading: { _ in loads.add("load") }).seen()
        await fixture.asked("What is this?", maxNewTokens: 4)
        await fixture.session.check { model in
            model.release()
            model.release()
            XCTAssertTrue(model.isReleased)
            XCTAssertThrowsError(try model.engine) { XCTAssertEqual($0 as? EngineError, EngineError("engine: already released")) }
        }
        await fixture.session.settle()
        XCTAssertEqual(loads.all.count, 2)
        await expect(fixture, .imageReady)
        await fixture.asked("Why?", maxNewTokens: 4)
        await fixture.requireSound(1, endsOften: false)
    }

    func testReleasingFreesTheEngine() async throws {
        final class Engine: VLMEngine {
            let chunk = 1
            let gone: Log
            init(_ gone: Log) { self.gone = gone }
            deinit { gone.add("gone") }
            func encodeImage(_ pixels: [UInt8]) async throws {}
            func prefill(_ rows: [PromptRow], at position: Int) async throws {}
            func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 { 2 }
        }
        let gone = Log()
        let session = VLMSession(
            load: { folder, _, _ in
                LoadedModel(
                    folder: folder, manifest: SessionFixture.manifest, engine: Engine(gone), tokenizer: SessionFixture.tokenizer)
            }, listener: { _ in })
        await session.open(SessionFixture.folder)
        await session.show(SessionFixture.picture(1), question: "What is this?")
        await session.settle()
        await session.check { model in
            XCTAssertEqual(gone.all.count, 0)
            model.release()
            XCTAssertEqual(gone.all.count, 1, "while the check runs")
        }
        await session.settle()
        await session.background()
        await session.releaseMemory()
        await session.settle()
        // The thread that loaded it may still hold it briefly.
        try await eventually("it is freed in the background too") { gone.all.count == 2 }
    }

    func testWithoutAModelOrInTheBackgroundThereIsNothingToCheck() async {
        let ran = Log()
        let nothing = await SessionFixture().session.check { _ in ran.add("no model") }
        XCTAssertFalse(nothing)
        let fixture = await asked()
        let first = await fixture.session.check { [session = fixture.session] _ in
            ran.add("ran")
            let second = await session.check { _ in ran.add("twice") }  // while the first runs
            XCTAssertFalse(second)
        }
        XCTAssertTrue(first)
        await fixture.session.settle()
        await fixture.session.background()
        let hidden = await fixture.session.check { _ in ran.add("hidden") }
        XCTAssertFalse(hidden)
        await fixture.session.settle()
        XCTAssertEqual(ran.all, ["ran"])
    }

    func testAModelAboutToBeFreedIsNotChecked() async {
        let requests: [@Sendable (isolated VLMSession) -> Void] = [{ $0.close() }, { $0.open(URL(filePath: "/b.mvlm")) }]
        for request in requests {
            let fixture = await asked(), ran = Log()
            let isBegun = await Self.check(fixture.session, after: request) { _ in ran.add("ran") }
            XCTAssertFalse(isBegun)
            await fixture.session.settle()
            XCTAssertEqual(ran.all, [])
        }
    }

    /// Nothing runs between the two.
    private static func check(
        _ session: isolated VLMSession, after request: @Sendable (isolated VLMSession) -> Void,
        _ work: @escaping @Sendable (LoadedModel) async throws -> Void
    ) -> Bool {
        request(session)
        return session.check(work)
    }

    func testARunningAnswerIsStoppedFirst() async {
        let fixture = await asked(), ran = Log()
        await fixture.engine.meanwhile { [session = fixture.session] call in
            if call == "next", ran.all.isEmpty { ran.add("\(await session.check { _ in ran.add("check") })") }
        }
        await fixture.asked("Why?")
        let turn = await fixture.session.state.turns.last
        XCTAssertEqual(turn?.ended, .stopped)
        XCTAssertEqual(ran.all, ["true", "check"])
        await fixture.requireSound(1, endsOften: false)
    }

    func testWhatItThrowsIsAProblem() async {
        let fixture = await asked(), error = CaptureError("golden.json: got nothing, expected records")
        await fixture.session.check { _ in throw error }
        await fixture.session.settle()
        var state = await fixture.session.state
        XCTAssertEqual(state.problem, .check(error.message))
        XCTAssertEqual(state.phase, .imageReady)
        XCTAssertEqual(state.turns.count, 1)
        await fixture.session.check { _ in }
        state = await fixture.session.state
        XCTAssertNil(state.problem)
        await fixture.session.settle()
    }

    private let leaving: [(String, @Sendable (isolated VLMSession) -> Void)] = [
        ("stop", { $0.stop() }),
        ("show", { $0.show(SessionFixture.picture(2)) }),
        ("clear", { $0.clear() }),
        ("open", { $0.open(URL(filePath: "/b.mvlm")) }),
        ("close", { $0.close() }),
        ("background", { $0.background() }),
    ]

    func testLeavingCancelsIt() async {
        for (request, leave) in leaving {
            let fixture = await SessionFixture().seen(), ran = Log()
            await fixture.session.check { [session = fixture.session] _ in
                await leave(session)
                ran.add("\(Task.isCancelled)")
                throw EngineError("what a cancelled check throws doesn't matter")
            }
            await fixture.session.settle()
            XCTAssertEqual(ran.all, ["true"], request)
            let state = await fixture.session.state
            XCTAssertNil(state.problem, request)
            XCTAssertNotEqual(state.phase, .checking, request)
        }
    }

    func testLeavingBeforeItBeginsDropsIt() async {
        for (request, leave) in leaving {
            let fixture = await SessionFixture().seen(), ran = Log()
            await fixture.engine.meanwhile { [session = fixture.session] call in
                guard ran.all.isEmpty else { return }
                ran.add("\(await session.check { _ in ran.add("ran") })")
                await leave(session)
            }
            await fixture.session.show(SessionFixture.picture(3))
            await fixture.session.settle()
            XCTAssertEqual(ran.all, ["true"], request)
            let problem = await fixture.session.state.problem
            XCTAssertNil(problem, request)
        }
    }

    func testAQuestionWaitsForItsEnd() async {
        let fixture = await asked()
        await fixture.session.check { [session = fixture.session] _ in
            let isAsked = await session.ask("Why?", maxNewTokens: 4)
            XCTAssertTrue(isAsked)
        }
        await fixture.session.settle()
        let turns = await fixture.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
        XCTAssertEqual(turns.last?.ended, .length)
        await fixture.requireSound(1, endsOften: false)
    }

    private func expect(_ fixture: SessionFixture, _ phase: Phase, line: UInt = #line) async {
        let state = await fixture.session.state
        XCTAssertEqual(state.phase, phase, "\(state)", line: line)
    }
}
