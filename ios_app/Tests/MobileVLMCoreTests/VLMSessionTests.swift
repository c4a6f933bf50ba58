import Foundation
import XCTest

@testable import MobileVLMCore

final class VLMSessionTests: XCTestCase {
    private var folder: URL!
    private var bundle: URL!
    private let engine = FakeEngine()
    private let states = States()

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        bundle = try stored("one").folder
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    // MARK: - the way it should go

    func testAPictureIsEncodedBeforeTheQuestionAndTheAnswerStreams() async throws {
        let session = session()
        await session.open(bundle)
        await session.settle()
        await expect(session, .ready)
        await session.show(picture(1))
        await session.settle()
        await expect(session, .seen)
        let looks = await engine.looks
        XCTAssertEqual(looks, 1)
        let isAsked = await session.ask("What is this?")
        XCTAssertTrue(isAsked)
        await session.settle()
        try await requireSound(session, picture(1))
        let phases = states.all.map(\.phase).reduce(into: [Phase]()) { if $0.last != $1 { $0.append($1) } }
        XCTAssertEqual(phases, [.loading, .ready, .looking, .seen, .answering, .seen])
        let answers = states.all.compactMap { $0.turns.last?.answer }
        XCTAssertEqual(answers, answers.sorted { $0.count < $1.count }, "the answer grows")
        XCTAssertTrue(states.all.contains { $0.loadProgress > 0 })
    }

    func testAFollowUpFeedsOnlyWhatIsNew() async throws {
        let session = try await asked("What is this?")
        let before = await session.state.usedTokens
        await engine.resetCounts()
        await session.ask("Why?")
        await session.settle()
        try await requireSound(session, picture(1))
        let looks = await engine.looks, fed = await engine.fed, after = await session.state.usedTokens
        XCTAssertEqual(looks, 0)
        XCTAssertEqual(fed, after - before, "each new row once, no row again")
    }

    func testUndoAndANewChatKeepThePicture() async throws {
        let session = try await asked("What is this?", "Why?")
        await engine.resetCounts()
        await session.undo()
        await session.settle()
        await session.ask("How?")
        await session.settle()
        try await requireSound(session, picture(1))
        await session.newChat()
        await session.settle()
        await session.ask("Who?")
        await session.settle()
        try await requireSound(session, picture(1))
        let turns = await session.state.turns.count, looks = await engine.looks
        XCTAssertEqual([turns, looks], [1, 0])
    }

    func testANewPictureForgetsTheConversationButNotThePrefix() async throws {
        let session = try await asked("What is this?")
        await engine.resetCounts()
        await session.show(picture(2), question: "And this?")
        await session.settle()
        try await requireSound(session, picture(2))
        let fed = await engine.fed, used = await session.state.usedTokens, turns = await session.state.turns.count
        XCTAssertLessThan(fed, used, "the text before the picture stays in the cache")
        XCTAssertEqual(turns, 1)
    }

    func testWhatWasSaidToAnotherSessionIsTakenUp() async throws {
        let said = try await asked("What is this?").state.turns
        let kept = try JSONDecoder().decode([ChatTurn].self, from: JSONEncoder().encode(said))
        XCTAssertEqual(kept, said)
        let session = session()
        await session.open(bundle)
        await session.resume(picture(1), said: kept)
        await session.ask("Why?")
        await session.settle()
        try await requireSound(session, picture(1))
        let turns = await session.state.turns
        XCTAssertEqual(turns.map(\.question), ["What is this?", "Why?"])
    }

    func testAQuestionMayBeAskedWhileAllIsLoading() async throws {
        let session = session()
        await session.open(bundle)
        await session.show(picture(1))
        await session.ask("What is this?")
        let isAskedTwice = await session.ask("And this?")
        XCTAssertFalse(isAskedTwice)
        await session.settle()
        try await requireSound(session, picture(1))
    }

    // MARK: - stopping, memory, the background

    func testStoppingKeepsWhatWasSaid() async throws {
        let session = try await asked()
        states.when({ $0.turns.last?.answer.isEmpty == false }) { await session.stop() }
        await session.ask("Tell me more than nine words about this, please.")
        await session.settle()
        let first = await session.state.turns.last
        XCTAssertNotNil(first?.ended)
        await session.ask("Why?")
        await session.settle()
        try await requireSound(session, picture(1))
    }

    func testTheBackgroundStopsAndMayFreeTheModelTheConversationComesBack() async throws {
        let session = try await asked("What is this?")
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
        try await requireSound(session, picture(1))
        let turns = await session.state.turns.count
        XCTAssertEqual(turns, 2)
    }

    func testAFullContextIsAProblemThatANewChatSolves() async throws {
        let session = try await asked()
        let long = String(repeating: "What is the colour of the thing on the left? ", count: 60)
        await session.ask(long)
        await session.settle()
        var state = await session.state
        XCTAssertEqual(state.problem, .contextFull(question: long))
        XCTAssertEqual(state.turns, [])
        await session.newChat()
        await session.ask("What is this?")
        await session.settle()
        try await requireSound(session, picture(1))
        state = await session.state
        XCTAssertNil(state.problem)
        XCTAssertLessThanOrEqual(state.usedTokens, state.maxTokens)
    }

    func testAnAnswerIsCutWhereItsTokensEnd() async throws {
        let session = try await asked()
        await session.ask("What is this?", maxNewTokens: 1)
        await session.settle()
        let turns = await session.state.turns
        let turn = try XCTUnwrap(turns.last)
        XCTAssertTrue(turn.ended == .length && turn.tokenIDs.count == 1 || turn.ended == .complete && turn.tokenIDs.isEmpty)
        await session.ask("Why?")
        await session.settle()
        try await requireSound(session, picture(1))
    }

    // MARK: - what goes wrong

    func testAnEngineThatFailsIsAProblemNotAnAnswer() async throws {
        let session = try await asked("What is this?")
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
        try await requireSound(session, picture(1))
        await engine.fail()
        await session.show(picture(2))
        await session.settle()
        await session.retry()
        await session.settle()
        await session.ask("What is this?")
        await session.settle()
        try await requireSound(session, picture(2))
    }

    func testBundlesThatCanNotBeLoadedSayWhy() async throws {
        var android = try TestBundle(largest: 1000)
        android.manifest["artifacts"] = ["executorch": ["file": "tokenizer.json"]]
        let forAndroid = try stored("android", android).folder
        let corrupt = try stored("corrupt").folder
        try Data("[]".utf8).write(to: corrupt.appending(path: "tokenizer.json"))
        for (bundle, says) in [(forAndroid, "got artifacts for executorch, expected coreml"), (corrupt, "damaged")] {
            let session = session()
            await session.open(bundle)
            await session.settle()
            await expect(session, .failed)
            guard case .bundle(let message) = await session.state.problem else {
                return XCTFail("expected a problem of the bundle")
            }
            XCTAssertTrue(message.contains(says), message)
            await session.open(self.bundle)
            await session.settle()
            await expect(session, .ready)
        }
        let small = session(memory: 1000)
        await small.open(bundle)
        await small.settle()
        guard case .memory(let needed, 1000) = await small.state.problem else { return XCTFail("expected a problem of memory") }
        XCTAssertGreaterThan(needed, 1000)
    }

    func testOpeningAnotherBundleWhileOneLoads() async throws {
        let other = try stored("two", TestBundle(kitVersion: "0.2.0", largest: 1000)).folder
        let session = session()
        await session.open(bundle)
        await session.open(other)
        await session.settle()
        let name = await session.state.bundle
        XCTAssertEqual(name, "two")
        await expect(session, .ready)
        await session.open(bundle)
        await session.close()
        await session.settle()
        await expect(session, .idle)
    }

    /// Whatever comes in whatever order: nothing hangs, the engine is used as it says, and every answer is the one that the conversation
    /// has with an engine of its own.
    func testAnyOrderOfWishesEndsSound() async throws {
        for seed in UInt64(0)..<60 {
            var random = SplitMix64(state: seed)
            let session = session()
            await session.open(bundle)
            var shown = 1
            for _ in 0..<25 {
                switch Int(random.nextUnit() * 14) {
                case 0...1:
                    shown = 1 + Int(random.nextUnit() * 3)
                    await session.show(picture(shown))
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
            await session.show(picture(shown), question: "Is all well?")
            await session.settle()
            await expect(session, .seen)
            try await requireSound(session, picture(shown), "seed \(seed)")
        }
    }

    // MARK: -

    private func session(memory: Int64 = .max) -> VLMSession {
        let loader = ModelLoader(availableMemory: { memory }, openEngine: { [engine] _, _ in engine })
        return VLMSession(load: { try await loader.load($0, progress: $1) }, listener: { [states] in states.add($0) })
    }

    /// A session that has seen picture 1 and answered `questions`.
    private func asked(_ questions: String...) async throws -> VLMSession {
        let session = session()
        await session.open(bundle)
        await session.show(picture(1))
        await session.settle()
        for question in questions {
            await session.ask(question)
            await session.settle()
        }
        return session
    }

    private func picture(_ shade: Int) -> Picture {
        try! Picture(width: 4, height: 4, pixels: [UInt32](repeating: UInt32(shade) * 0x10101, count: 16))
    }

    private func stored(_ name: String, _ bundle: TestBundle? = nil) throws -> StoredBundle {
        let file = folder.appending(path: "\(name).mvlm.zip")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (bundle ?? TestBundle(largest: 1000)).zipped().write(to: file)
        return try BundleStore(folder.appending(path: "bundles-\(name)")).add(file)
    }

    private func expect(_ session: VLMSession, _ phase: Phase, line: UInt = #line) async {
        let got = await session.state.phase
        XCTAssertEqual(got, phase, line: line)
    }

    /// Every answer of `session` is what the engine says after all that was said before, and no more was fed than the context holds.
    private func requireSound(_ session: VLMSession, _ picture: Picture, _ what: String = "", line: UInt = #line) async throws {
        let manifest = try ManifestReader.read(bundle.appending(path: ManifestReader.fileName))
        let tokenizer = try Tokenizer(PromptTests.demoTokenizer), prompt = Prompt(manifest.prompt)
        var square = SquarePixels(manifest.image)
        let pixels = square.pixels(of: picture)
        let state = await session.state
        XCTAssertFalse(state.turns.isEmpty, what, line: line)
        var rows: [PromptRow] = [.token(1)] + tokenizer.encode(manifest.prompt.beforeImage).map { .token($0) }
        rows += (0..<manifest.image.tokens).map { .image($0) }
        for (index, turn) in state.turns.filter({ $0.ended != .failed }).enumerated() {
            let text = index == 0 ? try prompt.afterImage(turn.question) : try prompt.followUp(turn.question)
            rows += tokenizer.encode(text).map { .token($0) }
            let expected = FakeEngine.answer(pixels, rows, most: VLMSession.maxNewTokens)
            XCTAssertEqual(turn.tokenIDs, Array(expected.prefix(turn.tokenIDs.count)), what, line: line)
            if turn.ended == .complete { XCTAssertEqual(turn.tokenIDs, expected, what, line: line) }
            XCTAssertEqual(turn.answer, tokenizer.decode(turn.tokenIDs), what, line: line)
            XCTAssertNotNil(turn.ended, what, line: line)
            rows += turn.tokenIDs.map { .token($0) } + [.token(2)]
        }
        let misuse = await engine.misuse
        XCTAssertNil(misuse, what, line: line)
        XCTAssertLessThanOrEqual(state.usedTokens, state.maxTokens, what, line: line)
    }
}
