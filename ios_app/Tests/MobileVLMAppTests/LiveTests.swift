import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class LiveTests: XCTestCase, @unchecked Sendable {
    func testItAnswersTheNewestSceneAndEnds() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.seen()
        stage.model.startLive(" What is it? \n")
        XCTAssertEqual(stage.model.live?.age(at: stage.model.now), Words("live_waiting"))
        XCTAssertNil(stage.model.picture, "the camera is seen")
        XCTAssertTrue(stage.model.hasPrevious)
        try await eventually("the camera opens") { stage.camera.isOpen }
        stage.camera.frame(20)
        try await eventually("it answers") { stage.model.live?.answer == "a red circle" }
        await stage.model.settle()
        XCTAssertEqual(stage.announced.value, [[.literal("a red circle")]], "once, when it is whole")
        XCTAssertEqual(stage.model.session.turns.map(\.question), ["What is it?"])
        XCTAssertNil(stage.model.status)
        stage.facts.change { $0.clock += .seconds(7) }
        XCTAssertEqual(stage.model.live?.age(at: stage.model.now), Words("live_age", .count(7)))
        let looks = await stage.engine.looks
        stage.camera.frame(20)
        try await eventually("the frame was seen") { stage.camera.isIdle }
        await stage.model.settle()
        let looksAtStill = await stage.engine.looks
        XCTAssertEqual(looksAtStill, looks, "a still scene is described once")
        stage.facts.change { $0.clock += .seconds(1) }  // it rests after an answer
        try await stage.says("two")
        stage.camera.frame(60)
        try await eventually("it answers anew") { stage.model.live?.answer == "two" }
        XCTAssertEqual(stage.model.live?.age(at: stage.model.now), Words("live_age", .count(0)))
        stage.model.endLive()
        XCTAssertNil(stage.model.live)
        await stage.model.settle()
        stage.facts.change { $0.clock += .seconds(7) }
        let before = await stage.engine.looks
        stage.camera.frame(5)
        try await eventually("the frame was seen") { stage.camera.isIdle }
        await stage.model.settle()
        let after = await stage.engine.looks
        XCTAssertEqual(after, before)
        XCTAssertEqual(AppModel(stage.parts()).settings.liveQuestion, "What is it?")
    }

    func testTheEndOfAnAnswerIsSeenInAllPlacesAtOnce() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.start()
        await stage.engine.holdAtTheEnd()
        stage.model.startLive("What is it?")
        stage.camera.frame(20)
        try await eventually("all is said") { await stage.engine.isHeld && stage.model.live?.answer == "yes" }
        // The age of the frame is long in coming.
        let isAsked = Shared(false), gate = DispatchSemaphore(value: 0)
        stage.facts.change {
            $0.beforeClock = {
                isAsked.change { $0 = true }
                gate.wait()
            }
        }
        await stage.engine.release()
        try await eventually("the age of the frame is asked for") { isAsked.value }
        XCTAssertNil(stage.model.session.turns.last?.ended)
        XCTAssertEqual(stage.model.live?.isWhole, false)
        stage.facts.change { $0.beforeClock = {} }
        gate.signal()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.last?.ended, .complete)
        XCTAssertEqual(stage.model.live?.isWhole, true)
        XCTAssertEqual(stage.announced.value, [[.literal("yes")]])
    }

    func testAWarmPhoneRests() async throws {
        let stage = try Stage()
        try await stage.says("a red circle")
        try await stage.start()
        stage.facts.change { $0.thermal = .critical }
        stage.model.startLive("What is it?")
        try await eventually("the camera opens") { stage.camera.isOpen }
        stage.camera.frame(20)
        try await eventually("it rests") { stage.model.live?.isResting == true }
        XCTAssertEqual(stage.model.live?.age(at: stage.model.now), Words("live_resting"))
        let looks = await stage.engine.looks
        XCTAssertEqual(looks, 0)
        stage.facts.change {
            $0.thermal = .nominal
            $0.clock += .seconds(60)
        }
        stage.camera.frame(20)
        try await eventually("it answers") { stage.model.live?.answer == "a red circle" }
        try await eventually("the frame was seen") { stage.camera.isIdle }
        XCTAssertEqual(stage.model.live?.isResting, false)
    }

    func testWhatCanNotBeginDoesNot() async throws {
        let stage = try Stage()
        await stage.model.start()
        stage.model.startLive("What is it?")
        XCTAssertNil(stage.model.live, "there is no model")
        try await stage.start()
        stage.model.startLive("  ")
        XCTAssertNil(stage.model.live)
        XCTAssertEqual(stage.model.settings.liveQuestion, Settings.ownLiveQuestion)
    }

    func testAnotherScreenThePictureBeforeAndTheBackgroundEndIt() async throws {
        let stage = try Stage()
        try await stage.seen()
        let ways: [@MainActor () -> Void] = [
            { stage.model.go(.settings) }, { stage.model.undoPicture() }, { stage.model.enterBackground() },
        ]
        for leave in ways {
            stage.model.startLive("What is it?")
            XCTAssertNotNil(stage.model.live)
            leave()
            XCTAssertNil(stage.model.live)
            stage.model.back()
            await stage.model.settle()
        }
    }

    func testEndingStopsTheAnswerThatIsComing() async throws {
        let stage = try Stage()
        try await stage.says("one two three four")
        try await stage.start()
        await stage.engine.hold(at: 1)
        stage.model.startLive("What is it?")
        try await eventually("the camera opens") { stage.camera.isOpen }
        stage.camera.frame(20)
        try await eventually("it answers") { await stage.engine.isHeld }
        stage.model.endLive()
        await stage.model.wishes.settle()
        await stage.engine.release()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.last?.ended, .stopped)
    }
}
