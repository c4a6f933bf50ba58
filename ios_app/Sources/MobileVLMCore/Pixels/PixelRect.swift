/// A size, or a point, in any unit.
public struct Extent: Sendable, Equatable {
    public let width: Double
    public let height: Double

    public init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    var turned: Extent { Extent(width: height, height: width) }
}

/// A part of a picture as fractions of its sides, from its upper left corner.
public struct PartRect: Sendable, Equatable {
    public let left: Double
    public let top: Double
    public let right: Double
    public let bottom: Double

    public init(left: Double, top: Double, right: Double, bottom: Double) {
        (self.left, self.top, self.right, self.bottom) = (left, top, right, bottom)
    }

    /// The part between two corners that the user dragged over `view`, which shows all of a picture of the size `picture` as large as it
    /// fits, in the middle. Nil if it is less than a fortieth of the picture in one direction, such as after a tap.
    public static func dragged(
        from first: Extent, to last: Extent, over view: Extent, showing picture: Extent
    ) -> PartRect? {
        let scale = min(view.width / picture.width, view.height / picture.height)
        guard scale > 0 else { return nil }
        func fraction(_ at: Double, _ room: Double, _ side: Double) -> Double {
            min(max((at - (room - side * scale) / 2) / (side * scale), 0), 1)
        }
        let x = [first.width, last.width].map { fraction($0, view.width, picture.width) }
        let y = [first.height, last.height].map { fraction($0, view.height, picture.height) }
        let part = PartRect(left: x.min()!, top: y.min()!, right: x.max()!, bottom: y.max()!)
        return part.right - part.left < 1.0 / 40 || part.bottom - part.top < 1.0 / 40 ? nil : part
    }

    /// The middle and the size of this part in `view`, which shows a picture as in `dragged`.
    public func shown(over view: Extent, showing picture: Extent) -> (middle: Extent, size: Extent) {
        let scale = min(view.width / picture.width, view.height / picture.height)
        let (across, down) = (picture.width * scale, picture.height * scale)
        return (
            Extent(
                width: view.width / 2 + ((left + right) / 2 - 0.5) * across,
                height: view.height / 2 + ((top + bottom) / 2 - 0.5) * down),
            Extent(width: (right - left) * across, height: (bottom - top) * down)
        )
    }

    /// Its whole pixels in a picture of `width` × `height`, at least one.
    public func pixels(width: Int, height: Int) -> PixelRect {
        func span(_ from: Double, _ to: Double, _ side: Int) -> (at: Int, count: Int) {
            let at = min(max(Int((from * Double(side)).rounded(.down)), 0), side - 1)
            return (at, min(max(Int((to * Double(side)).rounded(.up)), at + 1), side) - at)
        }
        let x = span(left, right, width), y = span(top, bottom, height)
        return PixelRect(x: x.at, y: y.at, width: x.count, height: y.count)
    }
}

/// A rectangle of whole pixels of a picture.
public struct PixelRect: Sendable, Equatable {
    public let x: Int
    public let y: Int
    public let width: Int
    public let height: Int

    public init(x: Int, y: Int, width: Int, height: Int) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }

    /// What a viewfinder of the size `view` shows of a camera's frame of `width` × `height` pixels that fills it, cut evenly at two sides.
    ///
    /// - Parameters:
    ///   - view: nil, or empty, shows everything
    ///   - isTurned: the frame is upright, but the screen is locked a quarter turn away from that
    public static func visible(width: Int, height: Int, in view: Extent?, isTurned: Bool = false) -> PixelRect {
        let whole = PixelRect(x: 0, y: 0, width: width, height: height)
        guard let view = isTurned ? view?.turned : view, view.width > 0, view.height > 0 else { return whole }
        let shown = view.width / view.height
        let across = min(Double(width), Double(height) * shown), down = min(Double(height), Double(width) / shown)
        let (columns, rows) = (max(Int(across.rounded()), 1), max(Int(down.rounded()), 1))
        return PixelRect(x: (width - columns) / 2, y: (height - rows) / 2, width: columns, height: rows)
    }
}

extension Picture {
    /// The part `rect` of the picture.
    ///
    /// - Throws: `PictureError` if it isn't inside.
    public func cropped(to rect: PixelRect) throws(PictureError) -> Picture {
        guard rect.x >= 0, rect.y >= 0, rect.width <= width - rect.x, rect.height <= height - rect.y else {
            throw PictureError("picture: got a part of \(width) x \(height) pixels that isn't inside")
        }
        if rect.width == width, rect.height == height { return self }
        var part = [UInt32]()
        part.reserveCapacity(max(rect.width * rect.height, 0))
        for row in rect.y..<(rect.y + max(rect.height, 0)) {
            part += pixels[(row * width + rect.x)..<(row * width + rect.x + max(rect.width, 0))]
        }
        return try Picture(width: rect.width, height: rect.height, pixels: part)
    }
}
