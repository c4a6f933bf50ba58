import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class AppModelTests: XCTestCase, @unchecked Sendable {
    // MARK: - bundles

    func testTheFirstScreenImportsAndUsesABundle() async throws {
        let fixture = try AppFixture()
        await fixture.model.start()
        XCTAssertEqual(fixture.model.screen, .welcome)
        XCTAssertNil(fixture.model.notice)
        await fixture.model.importBundle(try fixture.zipped())
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.screen, .chat)
        XCTAssertEqual(fixture.model.session.bundle, "demo")
        XCTAssertEqual(fixture.model.session.phase, .ready)
        XCTAssertNil(fixture.model.library.importing)
        XCTAssertEqual(fixture.model.settings.bundle, "demo")
        XCTAssertEqual(fixture.facts.value.keptFromBackup, ["demo.mvlm"])
    }

    func testAnImportReportsItsProgressAndCanBeCancelled() async throws {
        let fixture = try AppFixture()
        await fixture.model.start()
        let gate = DispatchSemaphore(value: 0)
        fixture.facts.change { $0.afterImport = { gate.wait() } }
        let file = try fixture.zipped()
        let whole = Task { await fixture.model.importBundle(file) }
        try await eventually("the import is reported as complete") { fixture.model.library.importing?.progress == 1 }
        XCTAssertEqual(fixture.model.library.importing?.name, "demo.mvlm.zip")
        XCTAssertTrue(fixture.model.staysAwake, "an import would stop with the display")
        let second = await fixture.model.library.add(file)
        XCTAssertNil(second, "one import at a time")
        gate.signal()
        await whole.value
        XCTAssertNil(fixture.model.library.importing)
        await fixture.model.settle()
        XCTAssertFalse(fixture.model.staysAwake)
        fixture.facts.change { $0 = AppFixture.Facts(beforeImport: { gate.wait() }) }
        let other = try fixture.zipped("other", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let cancelled = Task { await fixture.model.importBundle(other) }
        try await eventually("the import begins") { fixture.model.library.importing != nil }
        XCTAssertNil(fixture.model.library.importing?.progress, "the manifest is searched")
        fixture.model.library.cancel()
        gate.signal()
        await cancelled.value
        XCTAssertNil(fixture.model.library.importing)
        XCTAssertNil(fixture.model.library.problem)
        XCTAssertEqual(fixture.model.settings.bundle, "demo")
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: fixture.bundles.path), ["demo.mvlm"])
    }

    func testFailedImportsAreReportedWithAReason() async throws {
        let fixture = try AppFixture()
        await fixture.model.start()
        var newer = try TestBundle(largest: 1000)
        newer.manifest["format_version"] = 99
        let broken = fixture.folder.appending(path: "broken.mvlm.zip")
        try Data([1, 2, 3]).write(to: broken)
        for (file, says) in [(broken, "broken.mvlm.zip: got"), (try fixture.zipped("newer", newer), "99")] {
            await fixture.model.importBundle(file)
            XCTAssertTrue(fixture.model.library.problem?.contains(says) == true, fixture.model.library.problem ?? "no problem")
            XCTAssertEqual(fixture.model.screen, .welcome)
            XCTAssertEqual(fixture.model.library.bundles, [])
        }
        fixture.model.go(.about)
        XCTAssertNil(fixture.model.library.problem, "it was seen")
        fixture.model.back()
        XCTAssertEqual(fixture.model.screen, .welcome)
    }

    func testABundleCopiedByAComputerIsFound() async throws {
        let fixture = try AppFixture()
        fixture.model.enterForeground()
        await fixture.model.start()
        XCTAssertEqual(fixture.model.screen, .welcome)
        try fixture.put()
        fixture.model.enterBackground()
        fixture.model.enterForeground()
        try await eventually("the bundle is in use") { fixture.model.session.phase == .ready }
        XCTAssertEqual(fixture.model.screen, .chat)
    }

    func testAnotherBundleForgetsThePictureAndIsRemembered() async throws {
        let fixture = try AppFixture()
        try fixture.put("one")
        try fixture.put("two", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let one = try XCTUnwrap(BundleStore(fixture.bundles).list().first { $0.name == "one" })
        try await fixture.start()
        fixture.model.use(one)
        await fixture.model.settle()
        try await fixture.take(20)
        await fixture.ask("What is this?")
        fixture.model.use(one)
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.count, 1, "the same bundle keeps all")
        let two = try XCTUnwrap(fixture.model.library.bundles.first { $0.name == "two" })
        fixture.model.use(two)
        await fixture.model.settle()
        XCTAssertNil(fixture.model.picture)
        XCTAssertEqual(fixture.model.session.turns, [])
        XCTAssertEqual(fixture.model.session.bundle, "two")
        let next = AppModel(fixture.dependencies())
        await next.start()
        await next.settle()
        XCTAssertEqual(next.session.bundle, "two")
    }

    func testDeletingTheBundleInUseFreesItAndTheLastLeadsToTheFirstScreen() async throws {
        let fixture = try AppFixture()
        try fixture.put("other", TestBundle(kitVersion: "0.2.0", largest: 1000))
        let demo = try fixture.put()
        try await fixture.start()
        fixture.model.use(demo)
        await fixture.model.settle()
        try await fixture.take(20)
        fixture.model.go(.bundles)
        await fixture.model.delete(demo)
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .idle)
        XCTAssertNil(fixture.model.picture)
        XCTAssertNil(fixture.model.settings.bundle)
        XCTAssertEqual(fixture.model.screen, .bundles)
        XCTAssertEqual(fixture.model.library.bundles.map(\.name), ["other"])
        XCTAssertFalse(fixture.facts.value.there.contains(try XCTUnwrap(demo.manifest?.id)))
        fixture.model.back()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.bundle, "other", "what is left is used")
        fixture.model.go(.bundles)
        await fixture.model.delete(try XCTUnwrap(fixture.model.library.bundles.first))
        XCTAssertEqual(fixture.model.screen, .welcome)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: fixture.bundles.path), [])
    }

    func testBundlesThatCanNotBeUsedAreNotices() async throws {
        var android = try TestBundle(largest: 1000)
        android.manifest["artifacts"] = ["executorch": ["file": "tokenizer.json"]]
        let cases: [(AppFixture, String, Notice.Action)] = [
            (try AppFixture(), "expected coreml", .models), (try AppFixture(), "damaged", .models),
            (try AppFixture(), "problem_memory_detail_ios", .tryAgain),
        ]
        try cases[0].0.put("demo", android)
        let corrupt = try cases[1].0.put()
        try Data("[]".utf8).write(to: corrupt.folder.appending(path: "tokenizer.json"))
        cases[2].0.facts.change { $0.memory = 1000 }
        for (fixture, says, action) in cases {
            try await fixture.start()
            XCTAssertEqual(fixture.model.session.phase, .failed)
            let notice = try XCTUnwrap(fixture.model.notice)
            XCTAssertEqual(notice.actions.first, action)
            XCTAssertTrue("\(notice.detail)".contains(says), "\(notice)")
            XCTAssertFalse("\(notice.detail)".contains(fixture.folder.path), "\(notice): no path of the app's own")
            XCTAssertEqual(fixture.announced.value, [[notice.title, notice.detail]])
            XCTAssertNil(fixture.model.status)
            fixture.model.perform(.models)
            XCTAssertEqual(fixture.model.screen, .bundles)
        }
        let small = cases[2].0
        let needed = try XCTUnwrap(small.model.library.bundles.first?.manifest?.memoryBytes)
        XCTAssertEqual(small.model.notice?.detail, LocalizedText("problem_memory_detail_ios", .bytes(needed), .bytes(1000)))
        small.facts.change { $0.memory = needed + 1 }
        small.model.perform(.tryAgain)
        await small.model.settle()
        XCTAssertEqual(small.model.session.phase, .ready)
        XCTAssertNil(small.model.notice)
        XCTAssertEqual(small.model.warning, LocalizedText("problem_memory_tight_ios"))
    }

    // MARK: - asking

    func testAPictureIsEncodedBeforeTheQuestionAndTheAnswerStreams() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start()
        XCTAssertFalse(fixture.model.canAsk)
        let isAskedEarly = await fixture.model.ask("What is this?")
        XCTAssertFalse(isAskedEarly, "there is no picture")
        XCTAssertNil(fixture.model.status, "the camera is ready")
        try await fixture.take(20)
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
        XCTAssertEqual(fixture.model.status, LocalizedText("phase_seen"))
        let looks = await fixture.engine.looks
        XCTAssertEqual(looks, 1)
        await fixture.engine.hold(at: 2)
        let isAsked = await fixture.model.ask("  What is this? \n")
        XCTAssertTrue(isAsked)
        try await eventually("a part is seen") { fixture.model.session.turns.last?.answer.isEmpty == false }
        XCTAssertTrue(fixture.model.isBusy)
        XCTAssertFalse(fixture.model.canAsk)
        XCTAssertEqual(fixture.model.status, LocalizedText("phase_answering"))
        XCTAssertEqual(fixture.announced.value, [], "not word by word")
        let isAskedTwice = await fixture.model.ask("And now?")
        XCTAssertFalse(isAskedTwice)
        await fixture.engine.release()
        await fixture.model.settle()
        let turn = try XCTUnwrap(fixture.model.session.turns.last)
        XCTAssertEqual(turn.question, "What is this?")
        XCTAssertEqual(turn.answer, "a red circle")
        XCTAssertEqual(fixture.announced.value, [[.literal("a red circle")]])
        XCTAssertNil(fixture.model.status)
        await fixture.ask("Why?")
        XCTAssertEqual(fixture.announced.value.count, 2)
        fixture.model.undo()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["What is this?"])
        XCTAssertEqual(fixture.announced.value.count, 2, "an old answer isn't read out again")
        fixture.model.newChat()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns, [])
    }

    func testStopEndsTheAnswerAfterItsToken() async throws {
        let fixture = try AppFixture()
        try await fixture.says("one two three four five six seven")
        try await fixture.seen()
        await fixture.engine.hold(at: 3)
        await fixture.model.ask("What is this?")
        try await eventually("it answers") { await fixture.engine.isHeld }
        fixture.model.stop()
        await fixture.model.requests.settle()
        await fixture.engine.release()
        await fixture.model.settle()
        let turn = try XCTUnwrap(fixture.model.session.turns.last)
        XCTAssertEqual(turn.ended, .stopped)
        XCTAssertEqual(turn.tokenIDs.count, 4)
        XCTAssertEqual(fixture.model.ending(of: turn), LocalizedText("ended_stopped"))
    }

    func testAnAnswerHasDetails() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.seen()
        await fixture.ask("What is this?")
        let turn = try XCTUnwrap(fixture.model.session.turns.last)
        XCTAssertEqual(fixture.model.figures(of: turn).map(\.key), ["stats_first"], "the clock stood still")
        XCTAssertNil(fixture.model.ending(of: turn))
        XCTAssertFalse(fixture.model.showsStats, "closed at first")
    }

    func testAFailingEngineIsANoticeThatGoes() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        await fixture.engine.fail()
        try await fixture.take(20)
        XCTAssertEqual(fixture.model.notice?.title, LocalizedText("problem_engine"))
        XCTAssertEqual(fixture.model.notice?.actions, [.tryAgain, .models])
        XCTAssertEqual(fixture.announced.value.count, 1)
        fixture.model.perform(.tryAgain)
        await fixture.model.settle()
        XCTAssertNil(fixture.model.notice)
        await fixture.engine.fail()
        await fixture.ask("What is this?")
        let turn = try XCTUnwrap(fixture.model.session.turns.last)
        XCTAssertEqual(fixture.model.ending(of: turn), LocalizedText("ended_failed"))
        await fixture.ask("And now?")
        XCTAssertEqual(fixture.model.session.turns.last?.answer, "yes")
        XCTAssertNil(fixture.model.notice)
    }

    func testAFullContextOffersANewChatWithTheQuestion() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.seen()
        let long = String(repeating: "What is the colour of the thing on the left? ", count: 60)
        await fixture.ask("What is this?")
        await fixture.ask(long)
        let question = long.trimmingCharacters(in: .whitespaces)
        XCTAssertEqual(fixture.model.notice?.actions, [.newChat(question: question), .undo])
        XCTAssertEqual(fixture.model.refusedQuestion, question)
        fixture.model.perform(.newChat(question: "Is it red?"))
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["Is it red?"])
        XCTAssertNil(fixture.model.notice)
        await fixture.ask(long)
        fixture.model.perform(.undo)
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns, [])
    }

    func testAnswersAreSpokenInTheirLanguageUntilTheyAreStopped() async throws {
        let fixture = try AppFixture()
        fixture.model.speak("a red circle")
        XCTAssertEqual(fixture.model.speaking, "a red circle")
        let ended = fixture.speaker.ended
        fixture.model.speak("红色的圆")
        XCTAssertEqual(fixture.speaker.spoken, ["en-US: a red circle", "zh-CN: 红色的圆"])
        ended?()
        XCTAssertEqual(fixture.model.speaking, "红色的圆", "the first one's end is not the second's")
        fixture.speaker.ended?()
        XCTAssertNil(fixture.model.speaking)
        fixture.model.speak("yes")
        let stops = fixture.speaker.stops
        fixture.model.speak("yes")
        XCTAssertNil(fixture.model.speaking)
        XCTAssertEqual(fixture.speaker.spoken.count, 3)
        XCTAssertEqual(fixture.speaker.stops, stops + 1)
        XCTAssertFalse(fixture.model.hasNoVoice)
        fixture.speaker.hasVoice = false
        fixture.model.speak("no")
        XCTAssertNil(fixture.model.speaking)
        XCTAssertTrue(fixture.model.hasNoVoice)
        fixture.model.hasNoVoice = false  // the user was notified
    }

    // MARK: - screens

    func testScreensAreOnTopOfThePictureOrTheFirstScreen() async throws {
        let fixture = try AppFixture()
        await fixture.model.start()
        fixture.model.go(.about)
        XCTAssertEqual([fixture.model.root] + fixture.model.pushed, [.welcome, .about])
        fixture.model.back()
        XCTAssertEqual([fixture.model.root] + fixture.model.pushed, [.welcome])
        try await fixture.start()
        for screen in [Screen.conversations, .bundles, .settings, .about] {
            fixture.model.go(screen)
            XCTAssertEqual([fixture.model.root] + fixture.model.pushed, [.chat, screen])
            fixture.model.pushed = []  // the system's way back
            XCTAssertEqual([fixture.model.root] + fixture.model.pushed, [.chat])
        }
        XCTAssertFalse(fixture.model.staysAwake)
        fixture.model.startLive()
        XCTAssertTrue(fixture.model.staysAwake)
    }

    // MARK: - settings

    func testSettingsAreSaved() async throws {
        let fixture = try AppFixture()
        XCTAssertEqual(fixture.model.settings.presets, Settings.ownPresets)
        fixture.model.setPresets(" What? \n\n  Why?\n")
        fixture.model.showsStats = true
        let next = AppModel(fixture.dependencies())
        XCTAssertEqual(next.settings.presets, ["What?", "Why?"])
        XCTAssertTrue(next.settings.showsStats)
        next.setPresets(" \n")
        XCTAssertEqual(AppModel(fixture.dependencies()).settings.presets, Settings.ownPresets)
        let file = fixture.folder.appending(path: "settings.json")
        try Data(#"{"showsStats": true}"#.utf8).write(to: file)
        XCTAssertEqual(AppModel(fixture.dependencies()).settings.presets, Settings.ownPresets)
        XCTAssertTrue(AppModel(fixture.dependencies()).settings.showsStats)
        // Of a newer version:
        try Data(#"{"showsStats": true, "keeps": "hundred", "computeUnits": "quantum"}"#.utf8).write(to: file)
        XCTAssertEqual(AppModel(fixture.dependencies()).settings.keeps, .off)
        XCTAssertTrue(AppModel(fixture.dependencies()).settings.showsStats)
        try Data("{".utf8).write(to: file)
        XCTAssertEqual(AppModel(fixture.dependencies()).settings, Settings())
    }

    func testTheModelIsLoadedAgainForOtherHardware() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.seen()
        await fixture.ask("What is this?")
        fixture.model.computeUnits = nil
        fixture.model.computeUnits = .cpuAndNeuralEngine
        await fixture.model.settle()
        XCTAssertEqual(fixture.facts.value.units, [nil, .cpuAndNeuralEngine])
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
        XCTAssertEqual(fixture.model.session.turns.map(\.answer), ["yes"])
        XCTAssertEqual(AppModel(fixture.dependencies()).settings.computeUnits, .cpuAndNeuralEngine)
        fixture.model.computeUnits = nil
        await fixture.model.settle()
        XCTAssertEqual(fixture.facts.value.units.last, .some(nil))
        let labels = CoreMLSpec.ComputeUnits.allCases.map(fixture.model.label)
        XCTAssertEqual(Set(labels.map { "\($0)" }).count, 4)
    }

    // MARK: - lifecycle

    func testTheBackgroundStopsAndTheConversationIsRestored() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.seen()
        await fixture.ask("What is this?")
        fixture.model.enterBackground()
        fixture.model.releaseMemory()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .suspended)
        XCTAssertEqual(fixture.facts.value.engines, 1)
        fixture.model.enterForeground()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
        XCTAssertEqual(fixture.facts.value.engines, 2)
        XCTAssertEqual(fixture.model.session.turns.count, 1)
        fixture.model.releaseMemory()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .imageReady, "what is seen isn't taken away")
    }

    func testNothingRunsOnTheGPUUnlessTheAppIsActive() async throws {
        let fixture = try AppFixture()
        try fixture.put()
        try await fixture.says("yes")
        fixture.model.resignActive()
        await fixture.model.start()
        try await eventually("the model is about to load") { fixture.facts.value.engines == 1 }
        XCTAssertEqual(fixture.model.session.phase, .loading)
        fixture.model.enterForeground()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .ready)
        try await fixture.take(20)
        let calls = await fixture.engine.calls
        fixture.model.resignActive()
        await fixture.model.ask("What is this?")
        try await eventually("it waits") { fixture.model.session.phase == .answering }
        XCTAssertFalse(FileManager.default.fileExists(atPath: fixture.mark.path))
        fixture.model.enterBackground()
        await fixture.model.settle()
        var callsNow = await fixture.engine.calls
        XCTAssertEqual(callsNow, calls)
        XCTAssertEqual(fixture.model.session.waitingQuestion, "What is this?")
        fixture.model.releaseMemory()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .suspended)
        fixture.model.enterForeground()
        await fixture.model.settle()
        callsNow = await fixture.engine.calls
        XCTAssertGreaterThan(callsNow, calls)
        XCTAssertEqual(fixture.model.session.turns.map(\.answer), ["yes"])
        XCTAssertNil(fixture.model.notice)
    }

    func testAModelThatSeemsTooLargeIsLoadedAnyway() async throws {
        let fixture = try AppFixture()
        fixture.facts.change { $0.memory = 1000 }
        try await fixture.start()
        XCTAssertEqual(fixture.model.notice?.actions, [.tryAgain, .loadAnyway, .models])
        XCTAssertEqual(Notice.Action.loadAnyway.label, LocalizedText("load_anyway"))
        fixture.model.perform(.loadAnyway)
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.phase, .ready)
        XCTAssertEqual(fixture.model.warning, LocalizedText("problem_memory_tight_ios"))
    }

    func testAConversationSurvivesTheEndOfTheProcess() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        XCTAssertEqual(fixture.model.enterBackground(), false, "nothing to be restored")
        fixture.model.enterForeground()
        try await fixture.take(20)
        await fixture.ask("What is this?")
        let shown = try XCTUnwrap(fixture.model.picture)
        XCTAssertEqual(fixture.model.enterBackground(), true)
        XCTAssertNil(fixture.model.enterBackground(), "nothing has changed")
        await fixture.model.settle()
        let next = AppModel(fixture.dependencies())
        await next.start(restoring: true)
        try await eventually("the picture is there") { next.picture != nil }
        await next.settle()
        XCTAssertEqual(next.picture?.pixels, shown.pixels)
        XCTAssertEqual(next.session.turns.map(\.answer), ["yes"])
        await next.ask("And now?")
        await next.settle()
        XCTAssertEqual(next.session.turns.map(\.question), ["What is this?", "And now?"])
        // Without a request to restore, the saved conversation is deleted.
        let fresh = AppModel(fixture.dependencies())
        await fresh.start()
        await fresh.settle()
        XCTAssertNil(fresh.picture)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: fixture.folder.appending(path: "cache").path), [])
    }

    func testASavedPictureHasItsSizeAndColors() async throws {
        let fixture = try AppFixture()
        let saved = SavedConversation(fixture.folder.appending(path: "cache"))
        let shown = try Picture(width: 3, height: 2, pixels: [0x123456, 0xABCDEF, 0, 0xFF0000, 0x00FF00, 0x0000FF])
        await saved.save(shown)
        let found = await saved.load()
        XCTAssertEqual(found?.0.pixels, shown.pixels)
        XCTAssertEqual(found?.0.width, 3)
        XCTAssertEqual(found?.1, [], "nothing was said yet")
        await saved.delete()
        let gone = await saved.load()
        XCTAssertNil(gone)
    }

    func testADiscardedPictureIsNotSaved() async throws {
        let fixture = try AppFixture()
        try await fixture.seen()
        await fixture.model.settle()
        let cache = fixture.folder.appending(path: "cache")
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: cache.path), ["picture.rgb"])
        await fixture.model.delete(try XCTUnwrap(fixture.model.library.bundles.first))
        await fixture.model.settle()
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: cache.path), [])
    }

    func testAnEngineCrashIsReportedAndNothingIsLoadedAutomatically() async throws {
        let fixture = try AppFixture()
        try fixture.put()
        try Data().write(to: fixture.mark)
        try await fixture.start()
        XCTAssertEqual(fixture.model.notice, .crash)
        XCTAssertEqual(fixture.facts.value.engines, 0)
        XCTAssertEqual(fixture.model.session.phase, .idle)
        fixture.model.perform(.openAnyway)
        await fixture.model.settle()
        XCTAssertEqual(fixture.facts.value.engines, 1)
        XCTAssertNil(fixture.model.notice)
        XCTAssertFalse(AppModel(fixture.dependencies()).hasCrashed)
    }

    func testTheMarkExistsWhileTheEngineRunsInTheForeground() async throws {
        let fixture = try AppFixture()
        try await fixture.says("one two three four")
        try await fixture.seen()
        func isMarked() -> Bool { FileManager.default.fileExists(atPath: fixture.mark.path) }
        XCTAssertFalse(isMarked())
        await fixture.engine.hold(at: 1)
        await fixture.model.ask("What is this?")
        try await eventually("it answers") { await fixture.engine.isHeld }
        XCTAssertTrue(isMarked())
        fixture.model.enterBackground()
        XCTAssertFalse(isMarked(), "an app in the background may be ended at any time")
        fixture.model.enterForeground()
        XCTAssertTrue(isMarked())
        await fixture.engine.release()
        await fixture.model.settle()
        XCTAssertFalse(isMarked())
    }
}
