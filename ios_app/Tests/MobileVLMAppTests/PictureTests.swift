import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class PictureTests: XCTestCase, @unchecked Sendable {
    // MARK: - camera

    func testTheCameraIsOpenOnlyWhileItIsSeen() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        XCTAssertEqual(fixture.model.camera, .open)
        XCTAssertTrue(fixture.camera.isOpen)
        for isBackground in [false, true] {
            if isBackground { fixture.model.enterBackground() } else { fixture.model.go(.settings) }
            XCTAssertEqual(fixture.model.camera, .off)
            try await eventually("the camera closes") { !fixture.camera.isOpen }
            if isBackground { fixture.model.enterForeground() } else { fixture.model.back() }
            try await eventually("the camera opens again") { fixture.camera.isOpen }
            XCTAssertEqual(fixture.model.camera, .open)
        }
        try await fixture.take(20)
        XCTAssertEqual(fixture.model.camera, .off)
        try await eventually("the camera closes") { !fixture.camera.isOpen }
        fixture.model.newPicture()
        try await eventually("the camera opens again") { fixture.camera.isOpen }
    }

    func testTheCameraIsNotOpenedWithoutAModel() async throws {
        let fixture = try AppFixture()
        fixture.model.enterForeground()
        await fixture.model.start()
        XCTAssertEqual(fixture.camera.opened, 0)
        XCTAssertEqual(fixture.model.camera, .off)
    }

    func testTheUserIsAskedForTheCameraAndMayRefuse() async throws {
        for answer in [true, false] {
            let fixture = try AppFixture()
            fixture.camera.asks(answer)
            try await fixture.start()
            XCTAssertEqual(fixture.model.camera, .askPermission)
            XCTAssertEqual(fixture.model.pictureNotice, PictureNotice("camera_ask", action: .allowCamera))
            await fixture.model.perform(.allowCamera)
            XCTAssertEqual(fixture.model.camera, answer ? .open : .denied)
            XCTAssertEqual(
                fixture.model.pictureNotice, answer ? nil : PictureNotice("camera_denied", action: .openSystemSettings))
            XCTAssertEqual(fixture.camera.opened, answer ? 1 : 0)
        }
    }

    func testCameraProblemsAreReportedAndRetriedOnlyOnRequest() async throws {
        for (problem, expected) in [
            (CameraProblem.noCamera, PictureNotice("camera_none")),
            (.inUse, PictureNotice("camera_in_use", action: .reopenCamera)),
            (.failed, PictureNotice("camera_failed", action: .reopenCamera)),
        ] {
            let fixture = try AppFixture()
            try await fixture.start()
            try await eventually("the camera opens") { fixture.camera.isOpen }
            fixture.camera.fail(problem)
            try await eventually("it is reported") { fixture.model.pictureNotice == expected }
            fixture.model.go(.settings)
            fixture.model.back()
            XCTAssertEqual(fixture.camera.opened, 1)
            await fixture.model.perform(.reopenCamera)
            XCTAssertEqual(fixture.camera.opened, 2)
            XCTAssertEqual(fixture.model.camera, .open)
            XCTAssertNil(fixture.model.pictureNotice)
        }
    }

    func testOnlyTheShutterTakesAPicture() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        fixture.camera.frame(20)
        fixture.camera.frame(30)
        try await eventually("the frames were seen") { fixture.camera.isIdle }
        XCTAssertNil(fixture.model.picture)
        try await fixture.take(40)
        XCTAssertEqual(fixture.model.picture?.pixels[39], 0xDCDCDC)
        XCTAssertEqual(fixture.model.picture?.pixels[40], 0x3C3C3C)
    }

    // MARK: - photos

    func testAPhotoIsReadOverTheModelsColor() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        await fixture.model.pick { Data([7]) }
        await fixture.model.settle()
        let backdrop = try XCTUnwrap(fixture.model.library.bundles.first?.manifest?.image.padColor)
        XCTAssertEqual(fixture.model.picture?.pixels[0], 7 << 16 | backdrop & 0xFF)
        XCTAssertEqual(fixture.model.session.phase, .imageReady)
    }

    func testAnInvalidPhotoIsReported() async throws {
        struct Gone: Error {}
        let fixture = try AppFixture()
        try await fixture.start()
        let cases: [(@Sendable () async throws -> Data, String)] = [
            ({ Data() }, "picture: got no pixels, expected a photo"),
            ({ throw Gone() }, "picture: can't be read, expected a photo"),
        ]
        for (load, says) in cases {
            await fixture.model.pick(load)
            XCTAssertEqual(fixture.model.pictureNotice, PictureNotice("picture_failed", detail: says))
            XCTAssertNil(fixture.model.picture)
        }
        try await fixture.take(20)
        XCTAssertNil(fixture.model.pictureNotice)
    }

    func testAPhotoThatComesTooLateIsDropped() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        let late = Task {
            await fixture.model.pick {
                for await _ in gate { break }
                return Data([7])
            }
        }
        try await eventually("it is being read") { fixture.model.isReadingPicture }
        XCTAssertEqual(fixture.model.pictureNotice, PictureNotice("picture_reading"))
        try await fixture.take(20)
        opener.yield()
        await late.value
        XCTAssertEqual(fixture.model.picture?.width, 64)
        XCTAssertFalse(fixture.model.isReadingPicture)
    }

    // MARK: - the previous picture

    func testANewPictureStartsOverAndCanBeUndone() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.seen()
        XCTAssertFalse(fixture.model.hasPrevious)
        await fixture.ask("What is this?")
        fixture.model.newPicture()
        await fixture.model.settle()
        XCTAssertTrue(fixture.model.hasPrevious)
        XCTAssertNil(fixture.model.picture)
        XCTAssertFalse(fixture.model.canAsk)
        XCTAssertEqual(fixture.model.status, LocalizedText("phase_ready"))
        try await fixture.take(50)
        XCTAssertEqual(fixture.model.session.turns, [])
        fixture.model.newPicture()
        fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.picture?.pixels[49], 0xDCDCDC, "the last one, of which nothing was asked")
        XCTAssertEqual(fixture.model.session.turns, [])
        await fixture.ask("Is it?")
        fixture.model.newPicture()
        fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["Is it?"])
        XCTAssertFalse(fixture.model.hasPrevious)
        await fixture.ask("And now?")
        XCTAssertEqual(fixture.model.session.turns.count, 2)
    }
}
