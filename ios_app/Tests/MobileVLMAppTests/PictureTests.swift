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

    func testCameraProblemsAreReportedAndTriedAgainOnRequestOrWhenItIsSeenAgain() async throws {
        for (problem, expected) in [
            (CameraProblem.noCamera, PictureNotice("camera_none")),
            (.inUse, PictureNotice("camera_in_use", action: .reopenCamera)),
            (.tooHot, PictureNotice("camera_hot", action: .reopenCamera)),
            (.failed, PictureNotice("camera_failed", action: .reopenCamera)),
        ] {
            let fixture = try AppFixture()
            try await fixture.start()
            let screens: @MainActor () async -> Void = {
                fixture.model.go(.settings)
                fixture.model.back()
            }
            let background: @MainActor () async -> Void = {
                fixture.model.enterBackground()
                fixture.model.enterForeground()
            }
            let request: @MainActor () async -> Void = { await fixture.model.perform(.reopenCamera) }
            for (index, again) in [request, screens, background].enumerated() {
                try await eventually("the camera opens") { fixture.camera.isOpen }
                fixture.camera.fail(problem)
                try await eventually("it is reported") { fixture.model.pictureNotice == expected }
                await again()
                XCTAssertEqual(fixture.camera.opened, index + 2)
                XCTAssertEqual(fixture.model.camera, .open)
                XCTAssertNil(fixture.model.pictureNotice)
            }
        }
    }

    func testTheCameraComesBackAfterAnInterruption() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        for (problem, key) in [(CameraProblem.inUse, "camera_in_use"), (.tooHot, "camera_hot")] {
            try await eventually("the camera opens") { fixture.camera.isOpen }
            fixture.model.pressShutter()
            fixture.camera.interrupt(problem)
            try await eventually("it is reported") { fixture.model.pictureNotice?.text == LocalizedText(key) }
            fixture.camera.frame(20)
            try await eventually("it is open again") { fixture.model.camera == .open }
            XCTAssertNil(fixture.model.pictureNotice)
            XCTAssertEqual(fixture.camera.opened, 1)
            try await eventually("the frame was seen") { fixture.camera.isIdle }
            XCTAssertNil(fixture.model.picture, "what was pressed long ago takes no picture")
        }
    }

    func testWhatIsSeenIsWhatIsAsked() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        fixture.model.viewfinder = Extent(width: 390, height: 780)  // half as wide as high
        try await fixture.take(32)
        let picture = try XCTUnwrap(fixture.model.picture)
        XCTAssertEqual([picture.width, picture.height], [24, 48], "the sides that the viewfinder cuts")
        XCTAssertEqual(picture.pixels[11], 0xDCDCDC)
        XCTAssertEqual(picture.pixels[12], 0x3C3C3C)
    }

    func testTheCameraIsControlledWithinItsLimitsAndForgetsWhenItCloses() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        let model = fixture.model
        model.zoom(from: 2, by: 1.5)
        XCTAssertEqual(fixture.camera.controls.zoom, 3)
        model.zoom(from: 2, by: 9)
        XCTAssertEqual(model.controls.zoom, 5)
        model.zoom(from: 2, by: 0.1)
        XCTAssertEqual(model.controls.zoom, 1)
        model.expose(from: 0.5, by: 0.1)
        XCTAssertEqual(model.controls.exposure, 0.7, accuracy: 1e-9)
        model.expose(from: 0.5, by: -3)
        XCTAssertEqual(model.controls.exposure, -1)
        model.turnTorch()
        model.focus(at: Extent(width: 0.2, height: 0.8))
        XCTAssertEqual(model.controls.exposure, 0, "measured where the user tapped")
        XCTAssertTrue(fixture.camera.controls.isTorchOn)
        XCTAssertEqual(fixture.camera.controls.focus, Extent(width: 0.2, height: 0.8))
        model.switchCamera()
        XCTAssertEqual(fixture.camera.controls.side, .front)
        XCTAssertFalse(fixture.camera.controls.isTorchOn)
        model.turnTorch()
        model.go(.settings)
        XCTAssertFalse(fixture.camera.controls.isTorchOn, "no light without a viewfinder")
        XCTAssertEqual(fixture.camera.controls.side, .front)
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
        XCTAssertNil(fixture.model.status)
        try await fixture.take(50)
        XCTAssertEqual(fixture.model.session.turns, [])
        fixture.model.newPicture()
        await fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.picture?.pixels[49], 0xDCDCDC, "the last one, of which nothing was asked")
        XCTAssertEqual(fixture.model.session.turns, [])
        await fixture.ask("Is it?")
        fixture.model.newPicture()
        await fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["Is it?"])
        XCTAssertEqual(fixture.announced.value.count, 2, "a restored answer isn't read out again")
        XCTAssertFalse(fixture.model.hasPrevious)
        await fixture.ask("And now?")
        XCTAssertEqual(fixture.model.session.turns.count, 2)
    }

    // MARK: - parts

    private let part = PartRect(left: 0.5, top: 0, right: 1, bottom: 0.5)

    func testAPartOfAPhotoIsReadInMoreDetail() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        await fixture.model.pick { Data([7]) }
        await fixture.model.settle()
        await fixture.ask("What is this?")
        XCTAssertFalse(fixture.model.isPart)
        await fixture.model.askAbout(part)
        await fixture.model.settle()
        XCTAssertTrue(fixture.model.isPart)
        XCTAssertEqual(fixture.model.session.turns, [], "a new conversation")
        XCTAssertEqual(fixture.model.picture?.pixels.map { $0 >> 8 & 0xFF }, [2, 3, 6, 7], "of the larger one")
        let whole = await fixture.model.wholePicture()
        XCTAssertEqual(whole?.width, 2)
        await fixture.ask("And this?")
        fixture.model.newPicture()
        await fixture.model.undoPicture()
        await fixture.model.settle()
        XCTAssertTrue(fixture.model.isPart)
        XCTAssertEqual(fixture.model.picture?.pixels.count, 4)
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["And this?"])
        await fixture.model.askAbout(nil)
        await fixture.model.settle()
        XCTAssertFalse(fixture.model.isPart)
        XCTAssertEqual(fixture.model.picture?.pixels.map { $0 >> 8 & 0xFF }, [0, 1, 2, 3])
    }

    func testAPartCanBeChosenByItsName() async throws {
        for part in NamedPart.allCases {
            let (rect, name) = (part.rect, "\(part)".lowercased())
            XCTAssertEqual(name.contains("upper"), rect.top == 0 && rect.bottom < 1, name)
            XCTAssertEqual(name.contains("lower"), rect.bottom == 1 && rect.top > 0, name)
            XCTAssertEqual(name.contains("left"), rect.left == 0 && rect.right < 1, name)
            XCTAssertEqual(name.contains("right"), rect.right == 1 && rect.left > 0, name)
        }
        XCTAssertEqual(Set(NamedPart.allCases.compactMap(\.label.key)).count, 12)
        let fixture = try AppFixture()
        fixture.model.announce(.upperRight)
        XCTAssertEqual(fixture.announced.value, [[LocalizedText("part_chosen", .localized("part_upper_right"))]])
    }

    func testAPartOfAFrameIsCutFromIt() async throws {
        let fixture = try AppFixture()
        try await fixture.seen()
        let number = fixture.model.pictureNumber
        await fixture.model.askAbout(nil)
        XCTAssertEqual(fixture.model.pictureNumber, number, "it is the whole already")
        await fixture.model.askAbout(part)
        XCTAssertEqual(fixture.model.picture?.width, 32)
        await fixture.model.askAbout(PartRect(left: 0, top: 0, right: 0.25, bottom: 1))
        XCTAssertEqual(fixture.model.picture?.width, 16, "of the whole, not of the part")
        XCTAssertEqual(fixture.model.picture?.height, 48)
    }

    /// A photo's pixels are decoded again when they are needed.
    func testTheUndoneKeepsThePhotosOwnBytes() async throws {
        let fixture = try AppFixture()
        try await fixture.start()
        await fixture.model.pick { Data([9]) }
        fixture.model.newPicture()
        guard case .photo(let file)? = fixture.model.previous?.shot else { return XCTFail("expected the photo's file") }
        XCTAssertEqual(file, Data([9]))
        await fixture.model.undoPicture()
        XCTAssertEqual(fixture.model.picture?.pixels.first.map { $0 >> 16 }, 9)
    }
}
