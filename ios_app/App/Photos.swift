import CoreGraphics
import Foundation
import ImageIO
import MobileVLMCore

/// Reads pictures from files, upright and opaque, and converts them to images for the screen.
enum Photos {
    /// Larger pictures are scaled down, because no phone has the memory for two of them and a model.
    private static let mostPixels = 24_000_000.0
    private static let layout = CGBitmapInfo.byteOrder32Little.rawValue | CGImageAlphaInfo.noneSkipFirst.rawValue

    /// Reads the picture that the user chose; `backdrop` (0xRRGGBB) is behind transparent pixels.
    static func read(_ file: Data, over backdrop: UInt32) throws -> Picture {
        guard let source = CGImageSourceCreateWithData(file as CFData, nil),
            let traits = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any],
            let width = traits[kCGImagePropertyPixelWidth] as? Double, let height = traits[kCGImagePropertyPixelHeight] as? Double
        else { throw PictureError("picture: got no pixels, expected a photo") }
        let scale = min(1, (mostPixels / (width * height)).squareRoot())
        let options: [CFString: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways: true,
            kCGImageSourceCreateThumbnailWithTransform: true,  // upright
            kCGImageSourceThumbnailMaxPixelSize: Int(max(width, height) * scale),
        ]
        guard let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { throw PictureError("picture: got no pixels, expected a photo") }
        return try picture(of: image, in: space, over: backdrop)
    }

    /// Reads `file` without color management, for golden records.
    static func exact(_ file: URL) throws -> Picture {
        guard let source = CGImageSourceCreateWithURL(file as CFURL, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else { throw PictureError("\(file.path): can't be read, expected a picture") }
        return try picture(of: image, in: image.colorSpace ?? CGColorSpaceCreateDeviceRGB(), over: 0)
    }

    /// `picture` for the screen.
    static func image(of picture: Picture) async -> sending CGImage? {
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
