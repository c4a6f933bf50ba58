import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class LiveTests: XCTestCase, @unchecked Sendable {
    func testItAnswersTheNewestSceneAndEnds() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.seen()
        fixture.start(" What is it? \n")
        XCTAssertEqual(fixture.model.live?.age(at: fixture.model.now), LocalizedText("live_waiting"))
        XCTAssertNil(fixture.model.picture, "the camera is seen")
        XCTAssertTrue(fixture.model.hasPrevious)
        try await eventually("the camera opens") { fixture.camera.isOpen }
        fixture.camera.frame(20)
        try await eventually("it answers") { fixture.model.live?.answer == "a red circle" }
        await fixture.model.settle()
        XCTAssertEqual(fixture.announced.value, [[.literal("a red circle")]], "once, when it is whole")
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["What is it?"])
        XCTAssertNil(fixture.model.status)
        fixture.facts.change { $0.clock += .seconds(7) }
        XCTAssertEqual(fixture.model.live?.age(at: fixture.model.now), LocalizedText("live_age", .count(7)))
        let looks = await fixture.engine.looks
        fixture.camera.frame(20)
        try await eventually("the frame was seen") { fixture.camera.isIdle }
        await fixture.model.settle()
        let looksAtStill = await fixture.engine.looks
        XCTAssertEqual(looksAtStill, looks, "a still scene is described once")
        fixture.facts.change { $0.clock += .seconds(1) }  // it waits after an answer
        try await fixture.says("two")
        fixture.camera.frame(60)
        try await eventually("it answers again") { fixture.model.live?.answer == "two" && fixture.model.live?.isWhole == true }
        XCTAssertEqual(fixture.model.live?.age(at: fixture.model.now), LocalizedText("live_age", .count(0)))
        fixture.model.endLive()
        XCTAssertNil(fixture.model.live)
        await fixture.model.settle()
        fixture.facts.change { $0.clock += .seconds(7) }
        let before = await fixture.engine.looks
        fixture.camera.frame(5)
        try await eventually("the frame was seen") { fixture.camera.isIdle }
        await fixture.model.settle()
        let after = await fixture.engine.looks
        XCTAssertEqual(after, before)
        XCTAssertEqual(AppModel(fixture.dependencies()).settings.liveQuestion, "What is it?")
    }

    func testTheEndOfAnAnswerIsShownEverywhereAtOnce() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        await fixture.engine.holdAtTheEnd()
        fixture.start("What is it?")
        fixture.camera.frame(20)
        try await eventually("all is said") { await fixture.engine.isHeld && fixture.model.live?.answer == "yes" }
        // Reading the frame's age takes long.
        let isAsked = Shared(false), gate = DispatchSemaphore(value: 0)
        fixture.facts.change {
            $0.beforeClock = {
                isAsked.change { $0 = true }
                gate.wait()
            }
        }
        await fixture.engine.release()
        try await eventually("the age of the frame is asked for") { isAsked.value }
        XCTAssertNil(fixture.model.session.turns.last?.ended)
        XCTAssertEqual(fixture.model.live?.isWhole, false)
        fixture.facts.change { $0.beforeClock = {} }
        gate.signal()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.last?.ended, .complete)
        XCTAssertEqual(fixture.model.live?.isWhole, true)
        XCTAssertEqual(fixture.announced.value, [[.literal("yes")]])
    }

    func testAWarmPhonePauses() async throws {
        let fixture = try AppFixture()
        try await fixture.says("a red circle")
        try await fixture.start()
        fixture.facts.change { $0.thermal = .critical }
        fixture.start("What is it?")
        try await eventually("the camera opens") { fixture.camera.isOpen }
        fixture.camera.frame(20)
        try await eventually("it rests") { fixture.model.live?.isCoolingDown == true }
        XCTAssertEqual(fixture.model.live?.age(at: fixture.model.now), LocalizedText("live_resting"))
        let looks = await fixture.engine.looks
        XCTAssertEqual(looks, 0)
        fixture.facts.change {
            $0.thermal = .nominal
            $0.clock += .seconds(60)
        }
        fixture.camera.frame(20)
        try await eventually("it answers") { fixture.model.live?.answer == "a red circle" }
        try await eventually("the frame was seen") { fixture.camera.isIdle }
        XCTAssertEqual(fixture.model.live?.isCoolingDown, false)
    }

    func testWithoutAModelItDoesNotBegin() async throws {
        let fixture = try AppFixture()
        await fixture.model.start()
        fixture.start("What is it?")
        XCTAssertNil(fixture.model.live)
        fixture.model.liveQuestion = "  "
        XCTAssertEqual(fixture.model.liveQuestion, Settings.ownLiveQuestion)
    }

    func testTheShutterStartsItInItsModeAndAnotherQuestionStartsItAgain() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        fixture.model.isLiveMode = true
        XCTAssertNil(fixture.model.live)
        fixture.model.startLive()
        XCTAssertEqual(fixture.model.live?.question, Settings.ownLiveQuestion)
        fixture.model.liveQuestion = Settings.hazardQuestion
        XCTAssertEqual(fixture.model.live?.question, Settings.hazardQuestion)
        try await eventually("the camera opens") { fixture.camera.isOpen }
        fixture.camera.frame(20)
        try await eventually("it answers") { fixture.model.live?.answer == "yes" }
        XCTAssertEqual(fixture.model.session.turns.map(\.question), [Settings.hazardQuestion])
        fixture.model.isLiveMode = false
        XCTAssertNil(fixture.model.live)
        fixture.model.startLive(asking: "What color is it?")  // typed, but not confirmed
        XCTAssertEqual(fixture.model.live?.question, "What color is it?")
        XCTAssertEqual(fixture.model.liveQuestion, "What color is it?")
    }

    func testTheAppMayOpenInIt() async throws {
        let fixture = try AppFixture()
        try fixture.put()
        fixture.model.opensLive = true
        try await fixture.start()
        try await eventually("it runs") { fixture.model.live != nil }
        XCTAssertTrue(fixture.model.isLiveMode)
        fixture.model.enterBackground()
        XCTAssertNil(fixture.model.live)
        fixture.model.enterForeground()
        XCTAssertNotNil(fixture.model.live, "again when the user comes back")
        fixture.model.endLive()
        fixture.model.resignActive()
        fixture.model.enterForeground()
        XCTAssertNil(fixture.model.live, "not after a look at something else")
        fixture.model.isLiveMode = false
        fixture.model.go(.settings)
        fixture.model.goLive()  // a shortcut
        XCTAssertEqual(fixture.model.screen, .chat)
        XCTAssertNotNil(fixture.model.live)
        let restored = AppModel(fixture.dependencies())
        await restored.start(restoring: true)
        await restored.settle()
        XCTAssertNil(restored.live, "the user comes back to a conversation")
    }

    func testAnotherScreenThePreviousPictureAndTheBackgroundEndIt() async throws {
        let fixture = try AppFixture()
        try await fixture.seen()
        let ways: [@MainActor () async -> Void] = [
            { fixture.model.go(.settings) }, { await fixture.model.undoPicture() }, { fixture.model.enterBackground() },
        ]
        for leave in ways {
            fixture.start("What is it?")
            XCTAssertNotNil(fixture.model.live)
            await leave()
            XCTAssertNil(fixture.model.live)
            fixture.model.back()
            await fixture.model.settle()
        }
    }

    func testEndingStopsTheAnswerThatIsComing() async throws {
        let fixture = try AppFixture()
        try await fixture.says("one two three four")
        try await fixture.start()
        await fixture.engine.hold(at: 1)
        fixture.start("What is it?")
        try await eventually("the camera opens") { fixture.camera.isOpen }
        fixture.camera.frame(20)
        try await eventually("it answers") { await fixture.engine.isHeld }
        fixture.model.endLive()
        await fixture.model.requests.settle()
        await fixture.engine.release()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.last?.ended, .stopped)
    }
}

extension AppFixture {
    fileprivate func start(_ question: String) {
        model.liveQuestion = question
        model.startLive()
    }
}
