import XCTest

@testable import MobileVLMCore

final class PixelRectTests: XCTestCase {
    func testAViewfinderShowsTheMiddleOfAFrame() {
        let portrait = Extent(width: 390, height: 844), square = Extent(width: 300, height: 300)
        for (size, view, isTurned, expected) in [
            // 3:4 upright in a tall phone: the sides are cut.
            ((960, 1280), portrait, false, PixelRect(x: 184, y: 0, width: 591, height: 1280)),
            ((1280, 960), Extent(width: 844, height: 390), false, PixelRect(x: 0, y: 184, width: 1280, height: 591)),
            // The screen is locked upright, and the phone is held sideways.
            ((1280, 960), portrait, true, PixelRect(x: 0, y: 184, width: 1280, height: 591)),
            ((960, 1280), square, false, PixelRect(x: 0, y: 160, width: 960, height: 960)),
            ((960, 1280), Extent(width: 3, height: 4), false, PixelRect(x: 0, y: 0, width: 960, height: 1280)),
            ((10, 10), Extent(width: 1, height: 1000), false, PixelRect(x: 4, y: 0, width: 1, height: 10)),
            ((960, 1280), Extent(width: 0, height: 400), false, PixelRect(x: 0, y: 0, width: 960, height: 1280)),
        ] {
            let got = PixelRect.visible(width: size.0, height: size.1, in: view, isTurned: isTurned)
            XCTAssertEqual(got, expected, "\(size) in \(view)")
        }
        XCTAssertEqual(
            PixelRect.visible(width: 4, height: 3, in: nil), PixelRect(x: 0, y: 0, width: 4, height: 3), "no viewfinder yet")
    }

    func testAPartIsDraggedOverAPictureThatFits() throws {
        // 100 × 50 in 200 × 200: shown from (0, 50) to (200, 150).
        let view = Extent(width: 200, height: 200), picture = Extent(width: 100, height: 50)
        func dragged(_ from: (Double, Double), _ to: (Double, Double)) -> PartRect? {
            PartRect.dragged(
                from: Extent(width: from.0, height: from.1), to: Extent(width: to.0, height: to.1), over: view, showing: picture)
        }
        let quarter = PartRect(left: 0, top: 0, right: 0.5, bottom: 0.5)
        XCTAssertEqual(dragged((0, 50), (100, 100)), quarter)
        let shown = quarter.shown(over: view, showing: picture)
        XCTAssertEqual(shown.middle, Extent(width: 50, height: 75))
        XCTAssertEqual(shown.size, Extent(width: 100, height: 50))
        XCTAssertEqual(dragged((100, 100), (0, 50)), quarter, "from any corner")
        XCTAssertEqual(dragged((-30, 0), (100, 100)), quarter, "beyond the picture")
        XCTAssertNil(dragged((50, 100), (50, 100)), "a tap")
        XCTAssertNil(dragged((50, 100), (150, 101)), "a line")
        XCTAssertNil(dragged((0, 0), (200, 40)), "beside the picture")
        XCTAssertNil(
            PartRect.dragged(
                from: Extent(width: 0, height: 0), to: Extent(width: 9, height: 9), over: Extent(width: 0, height: 0),
                showing: picture))
        XCTAssertEqual(quarter.pixels(width: 100, height: 50), PixelRect(x: 0, y: 0, width: 50, height: 25))
        let corner = PartRect(left: 0.999, top: 0.999, right: 1, bottom: 1)
        XCTAssertEqual(corner.pixels(width: 10, height: 10), PixelRect(x: 9, y: 9, width: 1, height: 1))
        XCTAssertEqual(
            PartRect(left: 0.25, top: 0.3, right: 0.35, bottom: 0.9).pixels(width: 10, height: 10),
            PixelRect(x: 2, y: 3, width: 2, height: 6))
    }

    func testAPictureIsCroppedToItsPixels() throws {
        let picture = try Picture(width: 4, height: 3, pixels: (0..<12).map { UInt32($0) })
        let part = try picture.cropped(to: PixelRect(x: 1, y: 1, width: 2, height: 2))
        XCTAssertEqual([part.width, part.height], [2, 2])
        XCTAssertEqual(part.pixels, [5, 6, 9, 10])
        XCTAssertEqual(try picture.cropped(to: PixelRect(x: 0, y: 0, width: 4, height: 3)).pixels, picture.pixels)
        for outside in [
            PixelRect(x: 3, y: 0, width: 2, height: 1), PixelRect(x: 0, y: -1, width: 1, height: 1),
            PixelRect(x: 0, y: 0, width: 0, height: 1), PixelRect(x: 0, y: 3, width: 1, height: 1),
            PixelRect(x: 0, y: 0, width: -1, height: 1),
        ] {
            XCTAssertThrowsError(try picture.cropped(to: outside), "\(outside)") { XCTAssertTrue($0 is PictureError) }
        }
    }
}
