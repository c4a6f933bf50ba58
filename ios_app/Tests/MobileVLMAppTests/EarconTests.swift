import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class EarconTests: XCTestCase, @unchecked Sendable {
    func testEachIsAWholeWAVFile() async {
        for earcon in Earcon.allCases {
            let wav = earcon.wav
            func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(wav[at + $1]) << (8 * $1) } }
            XCTAssertEqual(String(decoding: wav[0..<4] + wav[8..<16] + wav[36..<40], as: UTF8.self), "RIFFWAVEfmt data")
            XCTAssertEqual(number(4, 4), wav.count - 8)
            XCTAssertEqual([number(20, 2), number(22, 2), number(24, 4), number(34, 2)], [1, 1, Earcon.rate, 16])
            XCTAssertEqual(number(40, 4), wav.count - 44)
            let samples = stride(from: 44, to: wav.count, by: 2).map { Int(Int16(truncatingIfNeeded: number($0, 2))) }
            XCTAssertTrue((8_000...16_000).contains(samples.map(abs).max()!), "\(earcon) is too loud or too soft")
            XCTAssertTrue(
                (0.05...0.35).contains(Double(samples.count) / Double(Earcon.rate)), "\(earcon) is too long or too short")
            XCTAssertLessThan(zip(samples, samples.dropFirst()).map { abs($0 - $1) }.max()!, 4_000, "\(earcon) clicks")
            XCTAssertLessThan(abs(samples.first!) + abs(samples.last!), 500, "\(earcon) clicks")
        }
        XCTAssertEqual(Set(Earcon.allCases.map(\.wav)).count, 4)
    }

    func testTheShutterAndTheAnswerAreHeard() async throws {
        let fixture = try AppFixture()
        fixture.model.playsSounds = true
        try await fixture.says("a red circle")
        try await fixture.seen()
        XCTAssertEqual(fixture.played.value, [.shutter])
        await fixture.engine.hold(at: 1)
        await fixture.model.ask("What is this?")
        try await eventually("it begins") { fixture.played.value == [.shutter, .began] }
        await fixture.engine.release()
        await fixture.model.settle()
        XCTAssertEqual(fixture.played.value, [.shutter, .began, .done])
        fixture.played.change { $0 = [] }
        await fixture.engine.fail()
        await fixture.ask("And?")
        XCTAssertEqual(fixture.played.value.filter { $0 != .began }, [.failed], "once")
    }

    func testWhatTheUserStopsOrRestoresIsSilent() async throws {
        let fixture = try AppFixture()
        fixture.model.playsSounds = true
        try await fixture.says("one two three four five six seven")
        try await fixture.seen()
        await fixture.ask("What is this?")
        await fixture.engine.hold(at: 2)
        await fixture.model.ask("And now?")
        try await eventually("it answers") { await fixture.engine.isHeld }
        fixture.played.change { $0 = [] }
        fixture.model.stop()
        await fixture.model.requests.settle()
        await fixture.engine.release()
        await fixture.model.settle()
        fixture.model.newPicture()
        await fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.count, 2)
        fixture.model.undo()
        await fixture.model.settle()
        XCTAssertEqual(fixture.played.value.filter { $0 != .began }, [])
    }

    func testLiveModeIsSilentUntilItFails() async throws {
        let fixture = try AppFixture()
        fixture.model.playsSounds = true
        try await fixture.says("yes")
        try await fixture.start()
        fixture.model.startLive()
        try await eventually("the camera opens") { fixture.camera.isOpen }
        fixture.camera.frame(20)
        try await eventually("it answers") { fixture.model.live?.isWhole == true }
        XCTAssertEqual(fixture.played.value, [])
        fixture.camera.frame(20)
        try await eventually("the frame was seen") { fixture.camera.isIdle }
        await fixture.model.settle()
        fixture.facts.change { $0.clock += .seconds(5) }  // it waits after an answer
        await fixture.engine.fail()
        fixture.camera.frame(60)
        try await eventually("it fails") { fixture.model.session.problem != nil }
        await fixture.model.settle()
        XCTAssertEqual(fixture.played.value, [.failed])
    }

    func testTheyAreOffUnlessVoiceOverIsOnOrTheUserWantsThem() async throws {
        let fixture = try AppFixture()
        try await fixture.seen()
        XCTAssertEqual(fixture.played.value, [])
        XCTAssertFalse(fixture.model.playsSounds)
        fixture.facts.change { $0.hasVoiceOver = true }
        XCTAssertTrue(fixture.model.playsSounds)
        fixture.model.playsSounds = false
        XCTAssertFalse(AppModel(fixture.dependencies()).playsSounds, "the user's choice stays")
    }
}
