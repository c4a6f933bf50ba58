/// How to turn a stored image upright: EXIF orientation values 1 to 8.
public enum Orientation: Int, Sendable, CaseIterable {
    case upright = 1
    case mirrored, turned180, mirroredTurned180, transposed, turned90, transversed, turned270

    /// From EXIF's value; anything but 1 to 8 means upright, as in image viewers.
    public init(exif: Int) {
        self = Orientation(rawValue: exif) ?? .upright
    }

    /// Whether width and height are swapped.
    public var transposes: Bool { rawValue >= Orientation.transposed.rawValue }

    /// `picture`, upright.
    public func upright(_ picture: Picture) throws(PictureError) -> Picture {
        if self == .upright { return picture }
        let (width, height) = (picture.width, picture.height)
        var turned = [UInt32](repeating: 0, count: width * height)
        for y in 0..<height {
            // Along a stored row, the index in the upright picture advances by a constant step.
            var at = index(x: 0, y: y, width: width, height: height)
            let step = index(x: 1, y: y, width: width, height: height) - at
            for x in 0..<width {
                turned[at] = picture.pixels[y * width + x]
                at += step
            }
        }
        return try Picture(width: transposes ? height : width, height: transposes ? width : height, pixels: turned)
    }

    /// Index in the upright picture of the pixel in column `x` and row `y` of the stored one, `width` × `height`.
    func index(x: Int, y: Int, width: Int, height: Int) -> Int {
        switch self {
        case .upright: y * width + x
        case .mirrored: y * width + (width - 1 - x)
        case .turned180: (height - 1 - y) * width + (width - 1 - x)
        case .mirroredTurned180: (height - 1 - y) * width + x
        case .transposed: x * height + y
        case .turned90: x * height + (height - 1 - y)
        case .transversed: (width - 1 - x) * height + (height - 1 - y)
        case .turned270: (width - 1 - x) * height + y
        }
    }
}
