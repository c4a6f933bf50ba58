/// Converts a picture to the vision encoder's square input exactly like the reference: padded to a square with the mean color, then
/// resized (Pillow's bicubic, horizontally and then vertically, rounded to 8 bits after each).
///
/// The padded square is never created: padding adds its color times the sum of its weights to a pixel. Memory use depends
/// on the picture alone, however long and thin it is.
///
/// One instance serves one task at a time; it keeps its buffer and the weights of the last size.
public struct SquarePixels {
    private let side: Int
    private let padColor: UInt32
    private var weights: ResampleWeights
    private var narrowed = [UInt8]()  // [3, H, columns that overlap the picture]: its rows, resized horizontally

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
        if square == side {
            var row = [UInt32](repeating: padColor, count: square)
            return padded(picture, left: left, top: top, row: &row)
        }
        if weights.inputSize != square { weights = ResampleWeights(inputSize: square, outputSize: side) }
        let across = Overlap(weights, before: left, length: picture.width)
        let down = Overlap(weights, before: top, length: picture.height)
        let size = 3 * picture.height * across.seeing.count
        if narrowed.count != size { narrowed = [UInt8](repeating: 0, count: size) }
        narrow(picture, across)
        return shortened(down, across, height: picture.height)
    }

    /// Without a resize, the picture is only padded.
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

    private func padColor(_ channel: Int) -> Int32 { Int32(padColor >> (16 - 8 * UInt32(channel)) & 255) }

    private mutating func narrow(_ picture: Picture, _ across: Overlap) {
        let weights = weights, columns = across.seeing
        let (padRed, padGreen, padBlue) = (padColor(0), padColor(1), padColor(2))
        let plane = picture.height * columns.count
        narrowed.withUnsafeMutableBufferPointer { out in
            picture.pixels.withUnsafeBufferPointer { pixels in
                weights.weights.withUnsafeBufferPointer { kernel in
                    for y in 0..<picture.height {
                        for x in columns {
                            let padding = across.padding[x]
                            var red = Self.half &+ padding &* padRed
                            var green = Self.half &+ padding &* padGreen
                            var blue = Self.half &+ padding &* padBlue
                            let first = y * picture.width + across.first[x], base = across.tap[x]
                            for tap in 0..<across.count[x] {
                                let pixel = pixels[first + tap], weight = kernel[base + tap]
                                red &+= Int32(pixel >> 16 & 255) &* weight
                                green &+= Int32(pixel >> 8 & 255) &* weight
                                blue &+= Int32(pixel & 255) &* weight
                            }
                            let to = y * columns.count + x - columns.lowerBound
                            out[to] = Self.clipped(red)
                            out[plane + to] = Self.clipped(green)
                            out[2 * plane + to] = Self.clipped(blue)
                        }
                    }
                }
            }
        }
    }

    private func shortened(_ down: Overlap, _ across: Overlap, height: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 3 * side * side)
        var sums = [Int32](repeating: 0, count: side)
        let columns = across.seeing
        narrowed.withUnsafeBufferPointer { narrowed in
            out.withUnsafeMutableBufferPointer { out in
                sums.withUnsafeMutableBufferPointer { sums in
                    for channel in 0..<3 {
                        // A row of padding, resized horizontally.
                        let padded = (0..<side).map { x in
                            Int32(Self.clipped(Self.half &+ (across.padding[x] &+ across.inside[x]) &* padColor(channel)))
                        }
                        for y in 0..<side {
                            let whole = down.padding[y] &+ down.inside[y]
                            for x in 0..<side {
                                sums[x] = Self.half &+ padded[x] &* (columns.contains(x) ? down.padding[y] : whole)
                            }
                            for tap in 0..<down.count[y] {
                                let weight = weights.weights[down.tap[y] + tap]
                                let from = (channel * height + down.first[y] + tap) * columns.count - columns.lowerBound
                                for x in columns { sums[x] &+= Int32(narrowed[from + x]) &* weight }
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

/// The overlap of each output pixel along one axis with a picture of `length` pixels that begins at `before` in the square.
private struct Overlap {
    /// The first overlapping pixel of the picture, the index of its weight, and the number of overlapping pixels.
    private(set) var first = [Int](), tap = [Int](), count = [Int]()
    /// The sums of the weights in the picture and in the padding.
    private(set) var inside = [Int32](), padding = [Int32]()
    /// The output pixels that overlap the picture; they are contiguous.
    let seeing: Range<Int>

    init(_ weights: ResampleWeights, before: Int, length: Int) {
        for at in weights.first.indices {
            let begin = min(max(weights.first[at], before), before + length)
            let end = min(max(weights.first[at] + weights.count[at], begin), before + length)
            let all = at * weights.taps..<at * weights.taps + weights.count[at]
            let seen = at * weights.taps + begin - weights.first[at]
            let sum = weights.weights[seen..<seen + end - begin].reduce(0, &+)
            first.append(begin - before)
            count.append(end - begin)
            tap.append(seen)
            inside.append(sum)
            padding.append(weights.weights[all].reduce(0, &+) &- sum)
        }
        seeing = count.firstIndex { $0 > 0 }!..<count.lastIndex { $0 > 0 }! + 1
    }
}
