/// An opaque, upright picture in memory: `pixels` holds width × height values 0x??RRGGBB, row by row (the top byte is undefined).
public struct Picture: Sendable {
    public let width: Int
    public let height: Int
    public let pixels: [UInt32]

    /// - Throws: `PictureError` if there are no pixels, or too few.
    public init(width: Int, height: Int, pixels: [UInt32]) throws(PictureError) {
        guard width >= 1, height >= 1 else {
            throw PictureError("picture: got \(width) x \(height) pixels, expected at least 1 x 1")
        }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, pixels.count == count else {
            throw PictureError("picture: got \(pixels.count) pixels, expected \(width) x \(height)")
        }
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// From red, green and blue of each pixel, row by row.
    public init(width: Int, height: Int, rgb: [UInt8]) throws(PictureError) {
        guard rgb.count % 3 == 0 else {
            throw PictureError("picture: got \(rgb.count) bytes, expected 3 for each of \(width) x \(height) pixels")
        }
        var pixels = [UInt32](repeating: 0, count: rgb.count / 3)
        for index in pixels.indices {
            let red = UInt32(rgb[3 * index]), green = UInt32(rgb[3 * index + 1]), blue = UInt32(rgb[3 * index + 2])
            pixels[index] = red << 16 | green << 8 | blue
        }
        try self.init(width: width, height: height, pixels: pixels)
    }

    /// From non-premultiplied 0xAARRGGBB, composited over `backdrop` (0xRRGGBB) exactly like Pillow's `alpha_composite`.
    public init(width: Int, height: Int, argb: [UInt32], over backdrop: UInt32) throws(PictureError) {
        try self.init(width: width, height: height, pixels: argb.map { Self.composed($0, over: backdrop) })
    }

    private static func composed(_ pixel: UInt32, over backdrop: UInt32) -> UInt32 {
        let alpha = pixel >> 24
        if alpha == 255 { return pixel }
        if alpha == 0 { return backdrop }
        // Weights of 7 fractional bits over 255; the backdrop is opaque.
        let front = alpha * 128
        let back = 255 * 128 - front
        var result: UInt32 = 0
        for shift in [16, 8, 0] as [UInt32] {
            let sum = (pixel >> shift & 255) * front + (backdrop >> shift & 255) * back + (128 << 7)
            result |= (((sum >> 8) + sum) >> 15) << shift
        }
        return result
    }
}
