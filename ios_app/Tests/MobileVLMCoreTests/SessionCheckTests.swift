import XCTest

@testable import MobileVLMCore

/// The model lent to a check, and given back.
final class SessionCheckTests: XCTestCase {
    /// A session that has answered a question about picture 1.
    private func asked() async -> Scene {
        let scene = await Scene(FakeEngine(endsOften: false)).seen()
        await scene.asked("What is this?", maxNewTokens: 4)
        return scene
    }

    /// A check that uses the engine for something else.
    @Sendable private static func use(_ model: LoadedModel) async throws {
        try await model.engine.look([UInt8](repeating: 9, count: 3 * 168 * 168))
        try await model.engine.prefill([.token(1), .token(300)], at: 0)
    }

    func testTheConversationComesBackAfterwards() async {
        let scene = await asked(), cache = await scene.engine.cache, ran = Log()
        let isBegun = await scene.session.check { [session = scene.session] model in
            ran.add("\(await session.state.phase)")
            try await Self.use(model)
        }
        XCTAssertTrue(isBegun)
        await scene.session.settle()
        XCTAssertEqual(ran.all, ["checking"])
        await expect(scene, .seen)
        let after = await scene.engine.cache, used = await scene.session.state.usedTokens
        XCTAssertEqual(Array(after.prefix(cache.count)), cache)
        XCTAssertEqual(used, after.count)
        await scene.asked("Why?", maxNewTokens: 4)
        await scene.requireSound(1, endsOften: false)
        let turns = await scene.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
    }

    func testAModelThatWasReleasedIsLoadedAgain() async {
        let loads = Log()
        let scene = await Scene(FakeEngine(endsOften: false), whileLoading: { _ in loads.add("load") }).seen()
        await scene.asked("What is this?", maxNewTokens: 4)
        await scene.session.check { model in
            model.release()
            model.release()
            XCTAssertTrue(model.isReleased)
            XCTAssertThrowsError(try model.engine) { XCTAssertEqual($0 as? EngineError, EngineError("engine: it was released")) }
        }
        await scene.session.settle()
        XCTAssertEqual(loads.all.count, 2)
        await expect(scene, .seen)
        await scene.asked("Why?", maxNewTokens: 4)
        await scene.requireSound(1, endsOften: false)
    }

    func testReleasingFreesTheEngine() async throws {
        final class Engine: VLMEngine {
            let chunk = 1
            let gone: Log
            init(_ gone: Log) { self.gone = gone }
            deinit { gone.add("gone") }
            func look(_ pixels: [UInt8]) async throws {}
            func prefill(_ rows: [PromptRow], at position: Int) async throws {}
            func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 { 2 }
        }
        let gone = Log()
        let session = VLMSession(
            load: { folder, _ in
                LoadedModel(folder: folder, manifest: Scene.manifest, engine: Engine(gone), tokenizer: Scene.tokenizer)
            }, listener: { _ in })
        await session.open(Scene.folder)
        await session.show(Scene.picture(1), question: "What is this?")
        await session.settle()
        await session.check { model in
            XCTAssertEqual(gone.all.count, 0)
            model.release()
            XCTAssertEqual(gone.all.count, 1, "while the check goes on")
        }
        await session.settle()
        await session.background()
        await session.releaseMemory()
        await session.settle()
        // The thread that loaded it may still hold it for a moment.
        try await eventually("it is freed in the background too") { gone.all.count == 2 }
    }

    func testWithoutAModelOrInTheBackgroundThereIsNothingToCheck() async {
        let ran = Log()
        let nothing = await Scene().session.check { _ in ran.add("no model") }
        XCTAssertFalse(nothing)
        let scene = await asked()
        let first = await scene.session.check { [session = scene.session] _ in
            ran.add("ran")
            let second = await session.check { _ in ran.add("twice") }  // while the first runs
            XCTAssertFalse(second)
        }
        XCTAssertTrue(first)
        await scene.session.settle()
        await scene.session.background()
        let hidden = await scene.session.check { _ in ran.add("hidden") }
        XCTAssertFalse(hidden)
        await scene.session.settle()
        XCTAssertEqual(ran.all, ["ran"])
    }

    func testAModelThatIsToBeFreedIsNotLent() async {
        let wishes: [@Sendable (isolated VLMSession) -> Void] = [{ $0.close() }, { $0.open(URL(filePath: "/b.mvlm")) }]
        for wish in wishes {
            let scene = await asked(), ran = Log()
            let isBegun = await Self.check(scene.session, after: wish) { _ in ran.add("ran") }
            XCTAssertFalse(isBegun)
            await scene.session.settle()
            XCTAssertEqual(ran.all, [])
        }
    }

    /// Nothing is between the two.
    private static func check(
        _ session: isolated VLMSession, after wish: @Sendable (isolated VLMSession) -> Void,
        _ work: @escaping @Sendable (LoadedModel) async throws -> Void
    ) -> Bool {
        wish(session)
        return session.check(work)
    }

    func testAnAnswerThatIsComingIsStoppedFirst() async {
        let scene = await asked(), ran = Log()
        await scene.engine.meanwhile { [session = scene.session] call in
            if call == "next", ran.all.isEmpty { ran.add("\(await session.check { _ in ran.add("check") })") }
        }
        await scene.asked("Why?")
        let turn = await scene.session.state.turns.last
        XCTAssertEqual(turn?.ended, .stopped)
        XCTAssertEqual(ran.all, ["true", "check"])
        await scene.requireSound(1, endsOften: false)
    }

    func testWhatItThrowsIsAProblem() async {
        let scene = await asked(), error = CaptureError("golden.json: got nothing, expected records")
        await scene.session.check { _ in throw error }
        await scene.session.settle()
        var state = await scene.session.state
        XCTAssertEqual(state.problem, .check(error.message))
        XCTAssertEqual(state.phase, .seen)
        XCTAssertEqual(state.turns.count, 1)
        await scene.session.check { _ in }
        state = await scene.session.state
        XCTAssertNil(state.problem)
        await scene.session.settle()
    }

    private let leaving: [(String, @Sendable (isolated VLMSession) -> Void)] = [
        ("stop", { $0.stop() }),
        ("show", { $0.show(Scene.picture(2)) }),
        ("clear", { $0.clear() }),
        ("open", { $0.open(URL(filePath: "/b.mvlm")) }),
        ("close", { $0.close() }),
        ("background", { $0.background() }),
    ]

    func testLeavingCancelsIt() async {
        for (wish, leave) in leaving {
            let scene = await Scene().seen(), ran = Log()
            await scene.session.check { [session = scene.session] _ in
                await leave(session)
                ran.add("\(Task.isCancelled)")
                throw EngineError("what a cancelled check throws doesn't matter")
            }
            await scene.session.settle()
            XCTAssertEqual(ran.all, ["true"], wish)
            let state = await scene.session.state
            XCTAssertNil(state.problem, wish)
            XCTAssertNotEqual(state.phase, .checking, wish)
        }
    }

    func testLeavingBeforeItBeginsTakesItBack() async {
        for (wish, leave) in leaving {
            let scene = await Scene().seen(), ran = Log()
            await scene.engine.meanwhile { [session = scene.session] call in
                guard ran.all.isEmpty else { return }
                ran.add("\(await session.check { _ in ran.add("ran") })")
                await leave(session)
            }
            await scene.session.show(Scene.picture(3))
            await scene.session.settle()
            XCTAssertEqual(ran.all, ["true"], wish)
            let problem = await scene.session.state.problem
            XCTAssertNil(problem, wish)
        }
    }

    func testAQuestionWaitsForItsEnd() async {
        let scene = await asked()
        await scene.session.check { [session = scene.session] _ in
            let isAsked = await session.ask("Why?", maxNewTokens: 4)
            XCTAssertTrue(isAsked)
        }
        await scene.session.settle()
        let turns = await scene.session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
        XCTAssertEqual(turns.last?.ended, .length)
        await scene.requireSound(1, endsOften: false)
    }

    private func expect(_ scene: Scene, _ phase: Phase, line: UInt = #line) async {
        let state = await scene.session.state
        XCTAssertEqual(state.phase, phase, "\(state)", line: line)
    }
}
