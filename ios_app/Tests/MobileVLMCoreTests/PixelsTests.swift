import XCTest

@testable import MobileVLMCore

final class PixelsTests: XCTestCase {
    private struct Case: Decodable {
        let file: String
        let size: Int
        let sha256: String
        let samples: [[Int]]
    }

    func testGoldenPicturesAreEqualToTheLastBit() throws {
        let cases: [Case] = try Golden.cases("pixels/pixels.json")
        XCTAssertGreaterThanOrEqual(cases.count, 30)
        var reused = [Int: SquarePixels]()  // one instance per size, as in the app
        for golden in cases {
            let picture = try Golden.picture(Golden.folder.appending(path: "pixels/\(golden.file)"))
            let spec = ImageSpec(size: golden.size, tokens: 1, padColor: 0x7A7468)
            let pixels = reused[golden.size, default: SquarePixels(spec)].pixels(of: picture)
            let side = golden.size
            for sample in golden.samples {
                let at = sample[0] * side + sample[1]
                let got = (0..<3).map { Int(pixels[$0 * side * side + at]) }
                XCTAssertEqual(got, Array(sample[2...]), "\(golden.file) at \(sample[0]), \(sample[1])")
            }
            XCTAssertEqual(SHA256Digest.hex(of: pixels), golden.sha256, golden.file)
        }
    }

    /// Its square would have a million rows.
    func testAPictureOfAMillionByOneNeedsLittleMemory() throws {
        for (width, height) in [(1, 1_000_000), (1_000_000, 1)] {
            let white = try Picture(width: width, height: height, pixels: [UInt32](repeating: 0xFFFFFF, count: 1_000_000))
            var square = SquarePixels(ImageSpec(size: 336, tokens: 1, padColor: 0x7A7468))
            let pixels = square.pixels(of: white), plane = 336 * 336
            for (channel, expected) in [UInt8(0x7A), 0x74, 0x68].enumerated() {
                XCTAssertEqual(Set(pixels[channel * plane..<(channel + 1) * plane]), [expected])
            }
        }
    }

    func testTransparentPixelsAreCompositedLikePillow() throws {
        // Image.alpha_composite(Image.new("RGBA", …, (122, 116, 104, 255)), Image.new("RGBA", …, (200, 30, 90, a))) for a = 0, 1, 127, 128, 254, 255
        let argb: [UInt32] = [0, 1, 127, 128, 254, 255].map { $0 << 24 | 0xC81E5A }
        let picture = try Picture(width: 6, height: 1, argb: argb, over: 0x7A7468)
        XCTAssertEqual(picture.pixels.map { $0 & 0xFFFFFF }, [0x7A7468, 0x7A7468, 0xA14961, 0xA14961, 0xC81E5A, 0xC81E5A])
    }

    func testEveryOrientationIsTurnedUpright() throws {
        // The upright picture is  1 2 3 / 4 5 6;  what a camera stores for each EXIF value:
        let stored: [(Int, Int, [UInt32])] = [
            (1, 3, [1, 2, 3, 4, 5, 6]), (2, 3, [3, 2, 1, 6, 5, 4]), (3, 3, [6, 5, 4, 3, 2, 1]), (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]), (6, 2, [3, 6, 2, 5, 1, 4]), (7, 2, [6, 3, 5, 2, 4, 1]), (8, 2, [4, 1, 5, 2, 6, 3]),
        ]
        for (exif, width, pixels) in stored {
            let picture = try Picture(width: width, height: 6 / width, pixels: pixels)
            let upright = try Orientation(exif: exif).upright(picture)
            XCTAssertEqual(upright.pixels, [1, 2, 3, 4, 5, 6], "EXIF \(exif)")
            XCTAssertEqual(upright.width, 3, "EXIF \(exif)")
        }
        XCTAssertEqual(Orientation(exif: 0), .upright)
        XCTAssertEqual(Orientation(exif: 9), .upright)
    }

    func testPicturesOfWrongSizeAreRefused() {
        assertThrows("got 0 x 3", "expected at least 1 x 1") { try Picture(width: 0, height: 3, pixels: []) }
        assertThrows("got 5 pixels", "expected 2 x 3") {
            try Picture(width: 2, height: 3, pixels: [UInt32](repeating: 0, count: 5))
        }
        assertThrows("got 4 bytes") { try Picture(width: 1, height: 1, rgb: [1, 2, 3, 4]) }
        assertThrows("expected 4611686018427387904 x 4") { try Picture(width: 1 << 62, height: 4, pixels: []) }
    }
}
