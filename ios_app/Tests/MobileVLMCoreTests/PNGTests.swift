import CZlib
import Foundation
import XCTest

@testable import MobileVLMCore

final class PNGTests: XCTestCase {
    func testAReaderSeesTheSamePicture() throws {
        for name in ["one-pixel", "a-banner", "a-tower", "primes", "double-stripes"] {
            let picture = try Golden.picture(Golden.folder.appending(path: "pixels/\(name).ppm"))
            let read = try Self.decoded(PNG.encode(picture))
            XCTAssertEqual([read.width, read.height], [picture.width, picture.height], name)
            XCTAssertEqual(read.pixels, picture.pixels.map { $0 & 0xFF_FFFF }, name)
        }
    }

    func testAPictureThatFillsTheBuffersToo() throws {
        var random = SplitMix64(state: 3)
        let noise = (0..<150_000).map { _ in UInt32(random.nextUnit() * 0xFFFF_FFFF) }
        let read = try Self.decoded(PNG.encode(try Picture(width: 500, height: 300, pixels: noise)))
        XCTAssertEqual(read.pixels, noise.map { $0 & 0xFF_FFFF })
    }

    func testSquaresAreTheModelsPixels() throws {
        let read = try Self.decoded(PNG.encode(square: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255]))
        XCTAssertEqual([read.width, read.height], [2, 2])
        XCTAssertEqual(read.pixels, [0x010509, 0x02060A, 0x03070B, 0x0408FF])
    }

    /// Decodes a PNG of the kind written here: 8-bit RGB with the Up filter in every row.
    static func decoded(_ file: Data) throws -> Picture {
        var rest = [UInt8](file)[...], chunks = [String: [UInt8]]()
        guard rest.prefix(8).elementsEqual([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) else {
            throw PictureError("got no PNG")
        }
        rest = rest.dropFirst(8)
        func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
        while !rest.isEmpty {
            let count = number(rest.prefix(4)), named = rest.dropFirst(4).prefix(4 + count)
            let sum = number(rest.dropFirst(8 + count).prefix(4))
            guard crc32(0, Array(named), UInt32(named.count)) == sum else { throw PictureError("got another CRC") }
            chunks[String(decoding: named.prefix(4), as: UTF8.self)] = Array(named.dropFirst(4))
            rest = rest.dropFirst(12 + count)
        }
        guard let header = chunks["IHDR"], let data = chunks["IDAT"], chunks["IEND"] == [], header[8...] == [8, 2, 0, 0, 0] else {
            throw PictureError("got \(chunks.keys), expected 8-bit RGB")
        }
        let width = number(header[..<4]), height = number(header[4..<8]), stride = 3 * width
        var rows = [UInt8](repeating: 0, count: (stride + 1) * height), count = UInt(rows.count)
        guard uncompress(&rows, &count, data, UInt(data.count)) == Z_OK, count == rows.count else {
            throw PictureError("got damaged data")
        }
        var rgb = [UInt8]()
        for y in 0..<height {
            guard rows[y * (stride + 1)] == 2 else { throw PictureError("got another filter") }
            for x in 0..<stride {
                let above = y == 0 ? 0 : rgb[(y - 1) * stride + x]
                rgb.append(rows[y * (stride + 1) + 1 + x] &+ above)
            }
        }
        return try Picture(width: width, height: height, rgb: rgb)
    }
}
