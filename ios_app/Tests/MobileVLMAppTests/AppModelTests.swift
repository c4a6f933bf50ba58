import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class AppModelTests: XCTestCase, @unchecked Sendable {
    // MARK: - bundles

    func testTheFirstScreenImportsAndUsesWhatCame() async throws {
        let stage = try Stage()
        await stage.model.start()
        XCTAssertEqual(stage.model.screen, .welcome)
        XCTAssertNil(stage.model.notice)
        await stage.model.importBundle(try stage.zipped())
        await stage.model.settle()
        XCTAssertEqual(stage.model.screen, .chat)
        XCTAssertEqual(stage.model.session.bundle, "demo")
        XCTAssertEqual(stage.model.session.phase, .ready)
        XCTAssertNil(stage.model.library.importing)
        XCTAssertEqual(stage.model.settings.bundle, "demo")
        XCTAssertEqual(stage.facts.value.keptFromBackup, ["demo.mvlm"])
    }

    func testAnImportTellsItsProgressAndCanBeCancelled() async throws {
        let stage = try Stage()
        await stage.model.start()
        let gate = DispatchSemaphore(value: 0)
        stage.facts.change { $0.afterImport = { gate.wait() } }
        let file = try stage.zipped()
        let whole = Task { await stage.model.importBundle(file) }
        try await eventually("all is told to be unpacked") { stage.model.library.importing?.progress == 1 }
        XCTAssertEqual(stage.model.library.importing?.name, "demo.mvlm.zip")
        let second = await stage.model.library.add(file)
        XCTAssertNil(second, "one import at a time")
        gate.signal()
        await whole.value
        XCTAssertNil(stage.model.library.importing)
        stage.facts.change { $0 = Stage.Facts(beforeImport: { gate.wait() }) }
        let other = try stage.zipped("other", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let cancelled = Task { await stage.model.importBundle(other) }
        try await eventually("the import begins") { stage.model.library.importing != nil }
        XCTAssertNil(stage.model.library.importing?.progress, "the manifest is searched")
        stage.model.library.cancel()
        gate.signal()
        await cancelled.value
        XCTAssertNil(stage.model.library.importing)
        XCTAssertNil(stage.model.library.problem)
        XCTAssertEqual(stage.model.settings.bundle, "demo")
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: stage.bundles.path), ["demo.mvlm"])
    }

    func testBundlesThatCanNotBeImportedSayWhy() async throws {
        let stage = try Stage()
        await stage.model.start()
        var newer = try TestBundle(largest: 1000)
        newer.manifest["format_version"] = 99
        let broken = stage.folder.appending(path: "broken.mvlm.zip")
        try Data([1, 2, 3]).write(to: broken)
        for (file, says) in [(broken, "broken.mvlm.zip: got"), (try stage.zipped("newer", newer), "99")] {
            await stage.model.importBundle(file)
            XCTAssertTrue(stage.model.library.problem?.contains(says) == true, stage.model.library.problem ?? "no problem")
            XCTAssertEqual(stage.model.screen, .welcome)
            XCTAssertEqual(stage.model.library.bundles, [])
        }
        stage.model.go(.about)
        XCTAssertNil(stage.model.library.problem, "it was seen")
        stage.model.back()
        XCTAssertEqual(stage.model.screen, .welcome)
    }

    func testABundleCopiedByAComputerIsFound() async throws {
        let stage = try Stage()
        stage.model.enterForeground()
        await stage.model.start()
        XCTAssertEqual(stage.model.screen, .welcome)
        try stage.put()
        stage.model.enterBackground()
        stage.model.enterForeground()
        try await eventually("the bundle is in use") { stage.model.session.phase == .ready }
        XCTAssertEqual(stage.model.screen, .chat)
    }

    func testAnotherBundleForgetsThePictureAndIsRemembered() async throws {
        let stage = try Stage()
        try stage.put("one")
        try stage.put("two", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let one = try XCTUnwrap(BundleStore(stage.bundles).list().first { $0.name == "one" })
        try await stage.start()
        stage.model.use(one)
        await stage.model.settle()
        try await stage.take(20)
        await stage.ask("What is this?")
        stage.model.use(one)
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.count, 1, "the same bundle keeps all")
        let two = try XCTUnwrap(stage.model.library.bundles.first { $0.name == "two" })
        stage.model.use(two)
        await stage.model.settle()
        XCTAssertNil(stage.model.picture)
        XCTAssertEqual(stage.model.session.turns, [])
        XCTAssertEqual(stage.model.session.bundle, "two")
        let next = AppModel(stage.parts())
        await next.start()
        await next.settle()
        XCTAssertEqual(next.session.bundle, "two")
    }

    func testDeletingTheBundleInUseFreesItAndTheLastLeadsToTheFirstScreen() async throws {
        let stage = try Stage()
        try stage.put("other", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let demo = try stage.put()
        try await stage.start()
        stage.model.use(demo)
        await stage.model.settle()
        try await stage.take(20)
        stage.model.go(.bundles)
        await stage.model.delete(demo)
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.phase, .idle)
        XCTAssertNil(stage.model.picture)
        XCTAssertNil(stage.model.settings.bundle)
        XCTAssertEqual(stage.model.screen, .bundles)
        XCTAssertEqual(stage.model.library.bundles.map(\.name), ["other"])
        XCTAssertFalse(stage.facts.value.there.contains(try XCTUnwrap(demo.manifest?.id)))
        stage.model.back()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.bundle, "other", "what is left is used")
        stage.model.go(.bundles)
        await stage.model.delete(try XCTUnwrap(stage.model.library.bundles.first))
        XCTAssertEqual(stage.model.screen, .welcome)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: stage.bundles.path), [])
    }

    func testBundlesThatCanNotBeUsedAreNotices() async throws {
        var android = try TestBundle(largest: 1000)
        android.manifest["artifacts"] = ["executorch": ["file": "tokenizer.json"]]
        let cases: [(Stage, String, Notice.Action)] = [
            (try Stage(), "expected coreml", .models), (try Stage(), "damaged", .models),
            (try Stage(), "problem_memory_detail_ios", .tryAgain),
        ]
        try cases[0].0.put("demo", android)
        let corrupt = try cases[1].0.put()
        try Data("[]".utf8).write(to: corrupt.folder.appending(path: "tokenizer.json"))
        cases[2].0.facts.change { $0.memory = 1000 }
        for (stage, says, action) in cases {
            try await stage.start()
            XCTAssertEqual(stage.model.session.phase, .failed)
            let notice = try XCTUnwrap(stage.model.notice)
            XCTAssertEqual(notice.actions.first, action)
            XCTAssertTrue("\(notice.detail)".contains(says), "\(notice)")
            XCTAssertFalse("\(notice.detail)".contains(stage.folder.path), "\(notice): no path of the app's own")
            XCTAssertEqual(stage.announced.value, [[notice.title, notice.detail]])
            XCTAssertNil(stage.model.status)
            stage.model.perform(.models)
            XCTAssertEqual(stage.model.screen, .bundles)
        }
        let small = cases[2].0
        let needed = try XCTUnwrap(small.model.library.bundles.first?.manifest?.memoryBytes)
        XCTAssertEqual(small.model.notice?.detail, Words("problem_memory_detail_ios", .bytes(needed), .bytes(1000)))
        small.facts.change { $0.memory = needed + 1 }
        small.model.perform(.tryAgain)
        await small.model.settle()
        XCTAssertEqual(small.model.session.phase, .ready)
        XCTAssertNil(small.model.notice)
        XCTAssertEqual(small.model.warning, Words("problem_memory_tight_ios"))
    }

    // MARK: - asking

    func testAPictureIsEncodedBeforeTheQuestionAndTheAnswerStreams() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start()
        XCTAssertFalse(stage.model.canAsk)
        let isAskedEarly = await stage.model.ask("What is this?")
        XCTAssertFalse(isAskedEarly, "there is no picture")
        XCTAssertEqual(stage.model.status, Words("phase_ready"))
        try await stage.take(20)
        XCTAssertEqual(stage.model.session.phase, .seen)
        XCTAssertEqual(stage.model.status, Words("phase_seen"))
        let looks = await stage.engine.looks
        XCTAssertEqual(looks, 1)
        await stage.engine.hold(at: 2)
        let isAsked = await stage.model.ask("  What is this? \n")
        XCTAssertTrue(isAsked)
        try await eventually("a part is seen") { stage.model.session.turns.last?.answer.isEmpty == false }
        XCTAssertTrue(stage.model.isBusy)
        XCTAssertFalse(stage.model.canAsk)
        XCTAssertEqual(stage.model.status, Words("phase_answering"))
        XCTAssertEqual(stage.announced.value, [], "not word by word")
        let isAskedTwice = await stage.model.ask("And now?")
        XCTAssertFalse(isAskedTwice)
        await stage.engine.release()
        await stage.model.settle()
        let turn = try XCTUnwrap(stage.model.session.turns.last)
        XCTAssertEqual(turn.question, "What is this?")
        XCTAssertEqual(turn.answer, "a red circle")
        XCTAssertEqual(stage.announced.value, [[.literal("a red circle")]])
        XCTAssertEqual(
            stage.model.status,
            Words("stats_context", .count(stage.model.session.usedTokens), .count(stage.model.session.maxTokens)))
        await stage.ask("Why?")
        XCTAssertEqual(stage.announced.value.count, 2)
        stage.model.undo()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.map(\.question), ["What is this?"])
        XCTAssertEqual(stage.announced.value.count, 2, "an old answer isn't read out again")
        stage.model.newChat()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns, [])
    }

    func testStopEndsTheAnswerAfterItsToken() async throws {
        let stage = try Stage()
        try await stage.says("one two three four five six seven")
        try await stage.seen()
        await stage.engine.hold(at: 3)
        await stage.model.ask("What is this?")
        try await eventually("it answers") { await stage.engine.isHeld }
        stage.model.stop()
        await stage.model.wishes.settle()
        await stage.engine.release()
        await stage.model.settle()
        let turn = try XCTUnwrap(stage.model.session.turns.last)
        XCTAssertEqual(turn.ended, .stopped)
        XCTAssertEqual(turn.tokenIDs.count, 4)
        XCTAssertEqual(stage.model.ending(of: turn), Words("ended_stopped"))
    }

    func testFiguresAreShownAsWished() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.seen()
        await stage.ask("What is this?")
        let turn = try XCTUnwrap(stage.model.session.turns.last)
        XCTAssertEqual(stage.model.figures(of: turn).map(\.key), ["stats_first"], "the clock stood still")
        XCTAssertNil(stage.model.ending(of: turn))
        stage.model.showsStats = false
        XCTAssertEqual(stage.model.figures(of: turn), [])
        XCTAssertNil(stage.model.status)
    }

    func testAFailingEngineIsANoticeThatGoes() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.start()
        await stage.engine.fail()
        try await stage.take(20)
        XCTAssertEqual(stage.model.notice?.title, Words("problem_engine"))
        XCTAssertEqual(stage.model.notice?.actions, [.tryAgain, .models])
        XCTAssertEqual(stage.announced.value.count, 1)
        stage.model.perform(.tryAgain)
        await stage.model.settle()
        XCTAssertNil(stage.model.notice)
        await stage.engine.fail()
        await stage.ask("What is this?")
        let turn = try XCTUnwrap(stage.model.session.turns.last)
        XCTAssertEqual(stage.model.ending(of: turn), Words("ended_failed"))
        await stage.ask("And now?")
        XCTAssertEqual(stage.model.session.turns.last?.answer, "yes")
        XCTAssertNil(stage.model.notice)
    }

    func testAFullContextOffersANewChatWithTheQuestion() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.seen()
        let long = String(repeating: "What is the colour of the thing on the left? ", count: 60)
        await stage.ask("What is this?")
        await stage.ask(long)
        let question = long.trimmingCharacters(in: .whitespaces)
        XCTAssertEqual(stage.model.notice?.actions, [.newChat(question: question), .undo])
        XCTAssertEqual(stage.model.refusedQuestion, question)
        stage.model.perform(.newChat(question: "Is it red?"))
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.map(\.question), ["Is it red?"])
        XCTAssertNil(stage.model.notice)
        await stage.ask(long)
        stage.model.perform(.undo)
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns, [])
    }

    func testAnswersAreSpokenInTheirLanguageUntilTheyAreStopped() async throws {
        let stage = try Stage()
        stage.model.speak("a red circle")
        XCTAssertEqual(stage.model.speaking, "a red circle")
        let ended = stage.speaker.ended
        stage.model.speak("红色的圆")
        XCTAssertEqual(stage.speaker.spoken, ["en-US: a red circle", "zh-CN: 红色的圆"])
        ended?()
        XCTAssertEqual(stage.model.speaking, "红色的圆", "the first one's end is not the second's")
        stage.speaker.ended?()
        XCTAssertNil(stage.model.speaking)
        stage.model.speak("yes")
        let stops = stage.speaker.stops
        stage.model.speak("yes")
        XCTAssertNil(stage.model.speaking)
        XCTAssertEqual(stage.speaker.spoken.count, 3)
        XCTAssertEqual(stage.speaker.stops, stops + 1)
        XCTAssertFalse(stage.model.hasNoVoice)
        stage.speaker.hasVoice = false
        stage.model.speak("no")
        XCTAssertNil(stage.model.speaking)
        XCTAssertTrue(stage.model.hasNoVoice)
        stage.model.hasNoVoice = false  // the user was told
    }

    // MARK: - screens

    func testScreensLieOverThePictureOrTheFirstScreen() async throws {
        let stage = try Stage()
        await stage.model.start()
        stage.model.go(.about)
        XCTAssertEqual([stage.model.root] + stage.model.pushed, [.welcome, .about])
        stage.model.back()
        XCTAssertEqual([stage.model.root] + stage.model.pushed, [.welcome])
        try await stage.start()
        for screen in [Screen.bundles, .settings, .about] {
            stage.model.go(screen)
            XCTAssertEqual([stage.model.root] + stage.model.pushed, [.chat, screen])
            stage.model.pushed = []  // the system's way back
            XCTAssertEqual([stage.model.root] + stage.model.pushed, [.chat])
        }
        XCTAssertFalse(stage.model.staysAwake)
        stage.model.startLive("What is it?")
        XCTAssertTrue(stage.model.staysAwake)
    }

    // MARK: - settings

    func testSettingsAreKept() async throws {
        let stage = try Stage()
        XCTAssertEqual(stage.model.settings.presets, Settings.ownPresets)
        stage.model.setPresets(" What? \n\n  Why?\n")
        stage.model.showsStats = false
        let next = AppModel(stage.parts())
        XCTAssertEqual(next.settings.presets, ["What?", "Why?"])
        XCTAssertFalse(next.settings.showsStats)
        next.setPresets(" \n")
        XCTAssertEqual(AppModel(stage.parts()).settings.presets, Settings.ownPresets)
        let file = stage.folder.appending(path: "settings.json")
        try Data(#"{"showsStats": false}"#.utf8).write(to: file)
        XCTAssertEqual(AppModel(stage.parts()).settings.presets, Settings.ownPresets)
        XCTAssertFalse(AppModel(stage.parts()).settings.showsStats)
        try Data("{".utf8).write(to: file)
        XCTAssertEqual(AppModel(stage.parts()).settings, Settings())
    }

    func testTheModelIsLoadedAgainToRunOnSomethingElse() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.seen()
        await stage.ask("What is this?")
        stage.model.computeUnits = nil
        stage.model.computeUnits = .cpuAndNeuralEngine
        await stage.model.settle()
        XCTAssertEqual(stage.facts.value.units, [nil, .cpuAndNeuralEngine])
        XCTAssertEqual(stage.model.session.phase, .seen)
        XCTAssertEqual(stage.model.session.turns.map(\.answer), ["yes"])
        XCTAssertEqual(AppModel(stage.parts()).settings.computeUnits, .cpuAndNeuralEngine)
        stage.model.computeUnits = nil
        await stage.model.settle()
        XCTAssertEqual(stage.facts.value.units.last, .some(nil))
        let labels = CoreMLSpec.ComputeUnits.allCases.map(stage.model.label)
        XCTAssertEqual(Set(labels.map { "\($0)" }).count, 4)
    }

    // MARK: - the app's life

    func testTheBackgroundStopsAndTheConversationComesBack() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.seen()
        await stage.ask("What is this?")
        stage.model.enterBackground()
        stage.model.releaseMemory()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.phase, .suspended)
        XCTAssertEqual(stage.facts.value.engines, 1)
        stage.model.enterForeground()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.phase, .seen)
        XCTAssertEqual(stage.facts.value.engines, 2)
        XCTAssertEqual(stage.model.session.turns.count, 1)
        stage.model.releaseMemory()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.phase, .seen, "what is seen isn't taken away")
    }

    func testAConversationSurvivesTheEndOfTheProcess() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.start()
        XCTAssertFalse(stage.model.enterBackground(), "nothing to be restored")
        stage.model.enterForeground()
        try await stage.take(20)
        await stage.ask("What is this?")
        let shown = try XCTUnwrap(stage.model.picture)
        XCTAssertTrue(stage.model.enterBackground())
        await stage.model.settle()
        let next = AppModel(stage.parts())
        await next.start(restoring: true)
        try await eventually("the picture is there") { next.picture != nil }
        await next.settle()
        XCTAssertEqual(next.picture?.pixels, shown.pixels)
        XCTAssertEqual(next.session.turns.map(\.answer), ["yes"])
        await next.ask("And now?")
        await next.settle()
        XCTAssertEqual(next.session.turns.map(\.question), ["What is this?", "And now?"])
        // Without a wish to restore, what was kept is gone.
        let fresh = AppModel(stage.parts())
        await fresh.start()
        await fresh.settle()
        XCTAssertNil(fresh.picture)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: stage.folder.appending(path: "cache").path), [])
    }

    func testAKeptPictureHasItsSizeAndColours() async throws {
        let stage = try Stage()
        let kept = KeptConversation(stage.folder.appending(path: "cache"))
        let shown = try Picture(width: 3, height: 2, pixels: [0x123456, 0xABCDEF, 0, 0xFF0000, 0x00FF00, 0x0000FF])
        await kept.keep(shown)
        let found = await kept.read()
        XCTAssertEqual(found?.0.pixels, shown.pixels)
        XCTAssertEqual(found?.0.width, 3)
        XCTAssertEqual(found?.1, [], "nothing was said yet")
        await kept.forget()
        let gone = await kept.read()
        XCTAssertNil(gone)
    }

    func testAForgottenPictureIsNotKept() async throws {
        let stage = try Stage()
        try await stage.seen()
        await stage.model.settle()
        let cache = stage.folder.appending(path: "cache")
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: cache.path), ["picture.rgb"])
        await stage.model.delete(try XCTUnwrap(stage.model.library.bundles.first))
        await stage.model.settle()
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: cache.path), [])
    }

    func testACrashInTheEngineIsToldAndNothingIsLoadedUnasked() async throws {
        let stage = try Stage()
        try stage.put()
        try Data().write(to: stage.mark)
        try await stage.start()
        XCTAssertEqual(stage.model.notice, .crash)
        XCTAssertEqual(stage.facts.value.engines, 0)
        XCTAssertEqual(stage.model.session.phase, .idle)
        stage.model.perform(.openAnyway)
        await stage.model.settle()
        XCTAssertEqual(stage.facts.value.engines, 1)
        XCTAssertNil(stage.model.notice)
        XCTAssertFalse(AppModel(stage.parts()).hasCrashed)
    }

    func testTheMarkIsThereWhileTheEngineRunsAndIsSeen() async throws {
        let stage = try Stage()
        try await stage.says("one two three four")
        try await stage.seen()
        func isMarked() -> Bool { FileManager.default.fileExists(atPath: stage.mark.path) }
        XCTAssertFalse(isMarked())
        await stage.engine.hold(at: 1)
        await stage.model.ask("What is this?")
        try await eventually("it answers") { await stage.engine.isHeld }
        XCTAssertTrue(isMarked())
        stage.model.enterBackground()
        XCTAssertFalse(isMarked(), "an app in the background may be ended at any time")
        stage.model.enterForeground()
        XCTAssertTrue(isMarked())
        await stage.engine.release()
        await stage.model.settle()
        XCTAssertFalse(isMarked())
    }
}
