import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class PictureTests: XCTestCase, @unchecked Sendable {
    // MARK: - camera

    func testTheCameraIsOpenOnlyWhileItIsSeen() async throws {
        let stage = try Stage()
        try await stage.start()
        XCTAssertEqual(stage.model.camera, .open)
        XCTAssertTrue(stage.camera.isOpen)
        for isBackground in [false, true] {
            if isBackground { stage.model.enterBackground() } else { stage.model.go(.settings) }
            XCTAssertEqual(stage.model.camera, .off)
            try await eventually("the camera closes") { !stage.camera.isOpen }
            if isBackground { stage.model.enterForeground() } else { stage.model.back() }
            try await eventually("the camera opens again") { stage.camera.isOpen }
            XCTAssertEqual(stage.model.camera, .open)
        }
        try await stage.take(20)
        XCTAssertEqual(stage.model.camera, .off)
        try await eventually("the camera closes") { !stage.camera.isOpen }
        stage.model.newPicture()
        try await eventually("the camera opens again") { stage.camera.isOpen }
    }

    func testTheCameraIsNotOpenedWithoutAModel() async throws {
        let stage = try Stage()
        stage.model.enterForeground()
        await stage.model.start()
        XCTAssertEqual(stage.camera.opened, 0)
        XCTAssertEqual(stage.model.camera, .off)
    }

    func testTheUserIsAskedForTheCameraAndMayRefuse() async throws {
        for answer in [true, false] {
            let stage = try Stage()
            stage.camera.asks(answer)
            try await stage.start()
            XCTAssertEqual(stage.model.camera, .askPermission)
            XCTAssertEqual(stage.model.pictureNotice, PictureNotice("camera_ask", action: .allowCamera))
            await stage.model.perform(.allowCamera)
            XCTAssertEqual(stage.model.camera, answer ? .open : .denied)
            XCTAssertEqual(
                stage.model.pictureNotice, answer ? nil : PictureNotice("camera_denied", action: .openSystemSettings))
            XCTAssertEqual(stage.camera.opened, answer ? 1 : 0)
        }
    }

    func testWhatTheCameraCanNotDoIsToldAndTriedAgainOnlyOnWish() async throws {
        for (problem, expected) in [
            (CameraProblem.noCamera, PictureNotice("camera_none")),
            (.inUse, PictureNotice("camera_in_use", action: .reopenCamera)),
            (.failed, PictureNotice("camera_failed", action: .reopenCamera)),
        ] {
            let stage = try Stage()
            try await stage.start()
            try await eventually("the camera opens") { stage.camera.isOpen }
            stage.camera.fail(problem)
            try await eventually("it is told") { stage.model.pictureNotice == expected }
            stage.model.go(.settings)
            stage.model.back()
            XCTAssertEqual(stage.camera.opened, 1)
            await stage.model.perform(.reopenCamera)
            XCTAssertEqual(stage.camera.opened, 2)
            XCTAssertEqual(stage.model.camera, .open)
            XCTAssertNil(stage.model.pictureNotice)
        }
    }

    func testOnlyTheShutterTakesAPicture() async throws {
        let stage = try Stage()
        try await stage.start()
        stage.camera.frame(20)
        stage.camera.frame(30)
        try await eventually("the frames were seen") { stage.camera.isIdle }
        XCTAssertNil(stage.model.picture)
        try await stage.take(40)
        XCTAssertEqual(stage.model.picture?.pixels[39], 0xDCDCDC)
        XCTAssertEqual(stage.model.picture?.pixels[40], 0x3C3C3C)
    }

    // MARK: - photos

    func testAPhotoIsReadOverTheModelsColour() async throws {
        let stage = try Stage()
        try await stage.start()
        await stage.model.pick { Data([7]) }
        await stage.model.settle()
        let backdrop = try XCTUnwrap(stage.model.library.bundles.first?.manifest?.image.padColor)
        XCTAssertEqual(stage.model.picture?.pixels[0], 7 << 16 | backdrop & 0xFF)
        XCTAssertEqual(stage.model.session.phase, .seen)
    }

    func testWhatIsNoPhotoIsTold() async throws {
        struct Gone: Error {}
        let stage = try Stage()
        try await stage.start()
        let cases: [(@Sendable () async throws -> Data, String)] = [
            ({ Data() }, "picture: got no pixels, expected a photo"),
            ({ throw Gone() }, "picture: can't be read, expected a photo"),
        ]
        for (load, says) in cases {
            await stage.model.pick(load)
            XCTAssertEqual(stage.model.pictureNotice, PictureNotice("picture_failed", detail: says))
            XCTAssertNil(stage.model.picture)
        }
        try await stage.take(20)
        XCTAssertNil(stage.model.pictureNotice)
    }

    func testAPhotoThatComesTooLateIsDropped() async throws {
        let stage = try Stage()
        try await stage.start()
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        let late = Task {
            await stage.model.pick {
                for await _ in gate { break }
                return Data([7])
            }
        }
        try await eventually("it is being read") { stage.model.isReadingPicture }
        XCTAssertEqual(stage.model.pictureNotice, PictureNotice("picture_reading"))
        try await stage.take(20)
        opener.yield()
        await late.value
        XCTAssertEqual(stage.model.picture?.width, 64)
        XCTAssertFalse(stage.model.isReadingPicture)
    }

    // MARK: - the picture before

    func testANewPictureBeginsAnewAndCanBeUndone() async throws {
        let stage = try Stage()
        try await stage.says("yes")
        try await stage.seen()
        XCTAssertFalse(stage.model.hasPrevious)
        await stage.ask("What is this?")
        stage.model.newPicture()
        await stage.model.settle()
        XCTAssertTrue(stage.model.hasPrevious)
        XCTAssertNil(stage.model.picture)
        XCTAssertFalse(stage.model.canAsk)
        XCTAssertEqual(stage.model.status, Words("phase_ready"))
        try await stage.take(50)
        XCTAssertEqual(stage.model.session.turns, [])
        stage.model.newPicture()
        stage.model.undoPicture()
        await stage.model.settle()
        XCTAssertEqual(stage.model.picture?.pixels[49], 0xDCDCDC, "the last one, of which nothing was asked")
        XCTAssertEqual(stage.model.session.turns, [])
        await stage.ask("Is it?")
        stage.model.newPicture()
        stage.model.undoPicture()
        await stage.model.settle()
        XCTAssertEqual(stage.model.session.turns.map(\.question), ["Is it?"])
        XCTAssertFalse(stage.model.hasPrevious)
        await stage.ask("And now?")
        XCTAssertEqual(stage.model.session.turns.count, 2)
    }
}
