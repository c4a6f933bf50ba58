import CoreGraphics
import Foundation
import ImageIO
import MobileVLMCore
import UniformTypeIdentifiers

/// Reads pictures from files, upright and opaque, and converts them to images for the screen and to files.
enum Photos {
    /// What is kept of a picture or a part of it, 16 MB: more than the screen shows, and far more than the model looks at.
    private static let mostPixels = 4_000_000.0
    /// What is decoded for a moment, of which a part is kept.
    private static let mostForAPart = 24_000_000.0
    private static let layout = CGBitmapInfo.byteOrder32Little.rawValue | CGImageAlphaInfo.noneSkipFirst.rawValue

    /// Reads the picture that the user chose, or its part `part`; `backdrop` (0xRRGGBB) is behind transparent pixels.
    static func read(_ file: Data, over backdrop: UInt32, part: PartRect?) throws -> Picture {
        guard let source = CGImageSourceCreateWithData(file as CFData, nil) else { throw unreadable }
        let share = part.map { ($0.right - $0.left) * ($0.bottom - $0.top) } ?? 1
        let image = try upright(source, atMost: min(mostPixels / share, mostForAPart))
        guard let space = CGColorSpace(name: CGColorSpace.sRGB) else { throw unreadable }
        guard let part else { return try picture(of: image, in: space, over: backdrop) }
        let rect = part.pixels(width: image.width, height: image.height)
        guard let cut = image.cropping(to: CGRect(x: rect.x, y: rect.y, width: rect.width, height: rect.height)) else {
            throw unreadable
        }
        return try picture(of: cut, in: space, over: backdrop)
    }

    /// The picture in `file`, small, for a list.
    static func thumbnail(_ file: URL) async -> sending CGImage? {
        guard let source = CGImageSourceCreateWithURL(file as CFURL, nil) else { return nil }
        return try? upright(source, atMost: 40_000)
    }

    /// `picture` as a JPEG file.
    static func file(of picture: Picture) throws -> Data {
        let file = NSMutableData()
        let kind = UTType.jpeg.identifier as CFString
        guard let image = image(of: picture), let to = CGImageDestinationCreateWithData(file as CFMutableData, kind, 1, nil)
        else {
            throw PictureError("picture: can't be written, expected memory for it")
        }
        CGImageDestinationAddImage(to, image, [kCGImageDestinationLossyCompressionQuality: 0.9] as CFDictionary)
        guard CGImageDestinationFinalize(to) else { throw PictureError("picture: can't be written, expected memory for it") }
        return Data(referencing: file)
    }

    private static var unreadable: PictureError { PictureError("picture: got no pixels, expected a photo") }

    /// `source`, turned upright and scaled down to at most `pixels`.
    private static func upright(_ source: CGImageSource, atMost pixels: Double) throws -> CGImage {
        guard let traits = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any],
            let width = traits[kCGImagePropertyPixelWidth] as? Double, let height = traits[kCGImagePropertyPixelHeight] as? Double
        else { throw unreadable }
        let scale = min(1, (pixels / (width * height)).squareRoot())
        let options: [CFString: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways: true,
            kCGImageSourceCreateThumbnailWithTransform: true,  // upright
            kCGImageSourceThumbnailMaxPixelSize: Int(max(width, height) * scale),
        ]
        guard let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary) else { throw unreadable }
        return image
    }

    /// Reads `file` without color management, for golden records.
    static func exact(_ file: URL) throws -> Picture {
        guard let source = CGImageSourceCreateWithURL(file as CFURL, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw PictureError("\(file.path): can't be read, expected a picture") }
        return try picture(of: image, in: image.colorSpace ?? CGColorSpaceCreateDeviceRGB(), over: 0)
    }

    /// `picture` for the screen.
    static func shown(_ picture: Picture) async -> sending CGImage? { image(of: picture) }

    private static func image(of picture: Picture) -> CGImage? {
        let bytes = picture.pixels.withUnsafeBytes { Data($0) }
        guard let provider = CGDataProvider(data: bytes as CFData), let space = CGColorSpace(name: CGColorSpace.sRGB) else {
            return nil
        }
        return CGImage(
            width: picture.width, height: picture.height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: 4 * picture.width,
            space: space, bitmapInfo: CGBitmapInfo(rawValue: layout), provider: provider, decode: nil, shouldInterpolate: true,
            intent: .defaultIntent)
    }

    private static func picture(of image: CGImage, in space: CGColorSpace, over backdrop: UInt32) throws -> Picture {
        let (width, height) = (image.width, image.height)
        let whole = CGRect(x: 0, y: 0, width: width, height: height)
        var pixels = [UInt32](repeating: 0, count: width * height)
        let isDrawn = pixels.withUnsafeMutableBytes { room in
            guard
                let context = CGContext(
                    data: room.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width,
                    space: space,
                    bitmapInfo: layout)
            else { return false }
            let levels = [16, 8, 0].map { CGFloat(backdrop >> $0 & 255) / 255 }
            context.setFillColor(red: levels[0], green: levels[1], blue: levels[2], alpha: 1)
            context.fill(whole)
            context.draw(image, in: whole)
            return true
        }
        guard isDrawn else { throw PictureError("picture: got colors that can't be drawn, expected red, green and blue") }
        return try Picture(width: width, height: height, pixels: pixels)
    }
}
