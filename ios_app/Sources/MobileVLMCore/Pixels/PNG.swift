import CZlib
import Foundation

/// Writes pictures as PNG, 8-bit RGB.
enum PNG {
    private static let up: UInt8 = 2  // PNG's Up filter: each byte minus the one above it

    /// `picture` as a PNG file.
    static func encode(_ picture: Picture) -> Data {
        encode(width: picture.width, height: picture.height) { picture.pixels[$0] }
    }

    /// uint8 [3, side, side] `pixels` as a PNG file.
    static func encode(square pixels: [UInt8]) -> Data {
        let area = pixels.count / 3, side = Int(Double(area).squareRoot().rounded())
        return encode(width: side, height: side) { at in
            UInt32(pixels[at]) << 16 | UInt32(pixels[area + at]) << 8 | UInt32(pixels[2 * area + at])
        }
    }

    private static func encode(width: Int, height: Int, _ pixel: (Int) -> UInt32) -> Data {
        let deflater = Deflater()
        var above = [UInt8](repeating: 0, count: 3 * width), row = above, data = Data()
        for y in 0..<height {
            for x in 0..<width {
                let color = pixel(y * width + x)
                row[3 * x] = UInt8(truncatingIfNeeded: color >> 16)
                row[3 * x + 1] = UInt8(truncatingIfNeeded: color >> 8)
                row[3 * x + 2] = UInt8(truncatingIfNeeded: color)
            }
            data += deflater.deflate([up] + zip(row, above).map { $0 &- $1 })
            swap(&row, &above)
        }
        data += deflater.finish()
        let header = big(width) + big(height) + [8, 2, 0, 0, 0]  // bit depth, RGB, and the only defined methods
        let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        return Data(signature) + chunk("IHDR", header) + chunk("IDAT", data) + chunk("IEND", Data())
    }

    private static func chunk(_ type: String, _ content: Data) -> Data {
        let named = Data(type.utf8) + content
        return big(content.count) + named + big(Int(checksum(named)))
    }

    private static func big(_ value: Int) -> Data {
        Data([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) })
    }
}

/// Compresses to zlib's format, part by part.
private final class Deflater {
    private var stream = z_stream()
    private var room = [UInt8](repeating: 0, count: 1 << 16)

    init() {
        let status = deflateInit_(&stream, Z_BEST_SPEED, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib has no memory")
    }

    deinit { deflateEnd(&stream) }

    /// Compresses `part`; returns the output so far.
    func deflate(_ part: [UInt8]) -> Data { run(part, Z_NO_FLUSH) }

    /// Returns the rest of the stream.
    func finish() -> Data { run([], Z_FINISH) }

    private func run(_ part: [UInt8], _ flush: Int32) -> Data {
        var part = part, out = Data()
        part.withUnsafeMutableBufferPointer { input in
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            repeat {
                room.withUnsafeMutableBufferPointer { output in
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    _ = CZlib.deflate(&stream, flush)
                }
                out += room[..<(room.count - Int(stream.avail_out))]
            } while stream.avail_out == 0
        }
        return out
    }
}
