/// A picture → the square that the vision encoder reads, exactly as the reference makes it: padded to a square with the mean colour, then
/// resized (Pillow's bicubic, horizontally and then vertically, rounded to 8 bits after each).
///
/// One instance serves one task at a time; it keeps its buffer and the weights of the last size.
public struct SquarePixels {
    private let side: Int
    private let padColor: UInt32
    private var weights: ResampleWeights
    private var narrowed = [UInt8]()  // [3, S, side]: rows of the padded square, resized horizontally

    private static let half: Int32 = 1 << (ResampleWeights.precisionBits - 1)

    public init(_ spec: ImageSpec) {
        side = spec.size
        padColor = spec.padColor
        weights = ResampleWeights(inputSize: side, outputSize: side)
    }

    /// uint8 [3, side, side] of `picture`: all red rows, then green, then blue.
    public mutating func pixels(of picture: Picture) -> [UInt8] {
        let square = max(picture.width, picture.height)
        let left = (square - picture.width) / 2
        let top = (square - picture.height) / 2
        var row = [UInt32](repeating: padColor, count: square)
        if square == side { return padded(picture, left: left, top: top, row: &row) }
        if weights.inputSize != square { weights = ResampleWeights(inputSize: square, outputSize: side) }
        if narrowed.count != 3 * square * side { narrowed = [UInt8](repeating: 0, count: 3 * square * side) }
        narrow(picture, square: square, left: left, top: top, row: &row)
        return shortened(square)
    }

    /// A square of the right size already is only padded.
    private func padded(_ picture: Picture, left: Int, top: Int, row: inout [UInt32]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 3 * side * side)
        for y in 0..<side {
            let inside = (0..<picture.height).contains(y - top)
            if inside { Self.copy(picture, row: y - top, into: &row, at: left) }
            for x in 0..<side {
                let pixel = inside ? row[x] : padColor
                out[y * side + x] = UInt8(truncatingIfNeeded: pixel >> 16)
                out[(side + y) * side + x] = UInt8(truncatingIfNeeded: pixel >> 8)
                out[(2 * side + y) * side + x] = UInt8(truncatingIfNeeded: pixel)
            }
        }
        return out
    }

    private mutating func narrow(_ picture: Picture, square: Int, left: Int, top: Int, row: inout [UInt32]) {
        // Rows of padding above and below are all alike: the first is computed, the others are copies.
        var padding: Int?
        for y in 0..<square {
            if (0..<picture.height).contains(y - top) {
                Self.copy(picture, row: y - top, into: &row, at: left)
                narrowRow(row, square: square, y: y)
            } else if let padding {
                for channel in 0..<3 {
                    let from = (channel * square + padding) * side
                    let to = (channel * square + y) * side
                    narrowed.withUnsafeMutableBufferPointer { bytes in
                        for x in 0..<side { bytes[to + x] = bytes[from + x] }
                    }
                }
            } else {
                narrowRow([UInt32](repeating: padColor, count: square), square: square, y: y)
                padding = y
            }
        }
    }

    private mutating func narrowRow(_ row: [UInt32], square: Int, y: Int) {
        let weights = weights, side = side
        narrowed.withUnsafeMutableBufferPointer { out in
            row.withUnsafeBufferPointer { row in
                weights.weights.withUnsafeBufferPointer { kernel in
                    for x in 0..<side {
                        var red = Self.half, green = Self.half, blue = Self.half
                        let first = weights.first[x], base = x * weights.taps
                        for tap in 0..<weights.count[x] {
                            let pixel = row[first + tap], weight = kernel[base + tap]
                            red &+= Int32(pixel >> 16 & 255) &* weight
                            green &+= Int32(pixel >> 8 & 255) &* weight
                            blue &+= Int32(pixel & 255) &* weight
                        }
                        out[y * side + x] = Self.clipped(red)
                        out[(square + y) * side + x] = Self.clipped(green)
                        out[(2 * square + y) * side + x] = Self.clipped(blue)
                    }
                }
            }
        }
    }

    private func shortened(_ square: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 3 * side * side)
        var sums = [Int32](repeating: 0, count: side)
        narrowed.withUnsafeBufferPointer { narrowed in
            out.withUnsafeMutableBufferPointer { out in
                sums.withUnsafeMutableBufferPointer { sums in
                    for channel in 0..<3 {
                        for y in 0..<side {
                            for x in 0..<side { sums[x] = Self.half }
                            for tap in 0..<weights.count[y] {
                                let weight = weights.weights[y * weights.taps + tap]
                                let from = (channel * square + weights.first[y] + tap) * side
                                for x in 0..<side { sums[x] &+= Int32(narrowed[from + x]) &* weight }
                            }
                            let to = (channel * side + y) * side
                            for x in 0..<side { out[to + x] = Self.clipped(sums[x]) }
                        }
                    }
                }
            }
        }
        return out
    }

    private static func copy(_ picture: Picture, row y: Int, into row: inout [UInt32], at left: Int) {
        let from = y * picture.width
        row.withUnsafeMutableBufferPointer { row in
            picture.pixels.withUnsafeBufferPointer { pixels in
                for x in 0..<picture.width { row[left + x] = pixels[from + x] }
            }
        }
    }

    private static func clipped(_ sum: Int32) -> UInt8 {
        UInt8(clamping: sum >> ResampleWeights.precisionBits)
    }
}
