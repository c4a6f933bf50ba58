/// A camera frame's brightness on a coarse grid, to detect cheaply whether the scene has changed.
public struct FrameSketch: Sendable, Equatable {
    private static let grid = 16
    private static let samples = 4  // per side of a cell

    private let levels: [Int]

    /// From the luma plane of a frame of `width` × `height` samples, with rows `rowStride` and samples `pixelStride` bytes apart;
    /// reads 4,096 of them.
    ///
    /// - Throws: `PictureError` if the plane is too small.
    public init(
        width: Int, height: Int, rowStride: Int, pixelStride: Int = 1, luma: UnsafeRawBufferPointer
    ) throws(PictureError) {
        guard width >= 1, height >= 1, luma.count > (height - 1) * rowStride + (width - 1) * pixelStride else {
            throw PictureError("frame: got \(luma.count) bytes, expected \(width) x \(height) samples in rows of \(rowStride)")
        }
        let points = Self.grid * Self.samples
        var sums = [Int](repeating: 0, count: Self.grid * Self.grid)
        for row in 0..<points {
            let line = (2 * row + 1) * height / (2 * points) * rowStride
            for column in 0..<points {
                let at = line + (2 * column + 1) * width / (2 * points) * pixelStride
                sums[row / Self.samples * Self.grid + column / Self.samples] += Int(luma[at])
            }
        }
        levels = sums.map { $0 / (Self.samples * Self.samples) }
    }

    /// The difference from `other`, 0 to 1: the mean absolute difference of the cells relative to white, after subtracting a uniform
    /// change of brightness (clouds, exposure).
    public func difference(_ other: FrameSketch) -> Double {
        let shift = Double(levels.reduce(0, +) - other.levels.reduce(0, +)) / Double(levels.count)
        let apart = zip(levels, other.levels).reduce(0) { $0 + abs(Double($1.0 - $1.1) - shift) }
        return apart / Double(levels.count) / 255
    }
}
