// The parts of Apple's CoreGraphics that the app uses, with Apple's declarations, so that it is type-checked on Linux.

@_exported import Foundation

public typealias CFData = Data
public typealias CFURL = URL
public typealias CFString = String

public class CGColorSpace: @unchecked Sendable {
    public static let sRGB = ""
    public init?(name: CFString) {}
}
public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { fatalError() }
public struct CGBitmapInfo: OptionSet, Sendable {
    public static let byteOrder32Little = CGBitmapInfo(rawValue: 2 << 12)
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
}
public enum CGImageAlphaInfo: UInt32, Sendable { case noneSkipFirst = 6 }
public enum CGColorRenderingIntent: Int32, Sendable { case defaultIntent }
public class CGDataProvider { public init?(data: CFData) {} }
public class CGImage {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int, space: CGColorSpace,
        bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool,
        intent: CGColorRenderingIntent
    ) {}
    public var width: Int { 0 }
    public var height: Int { 0 }
    public var colorSpace: CGColorSpace? { nil }
    public func cropping(to rect: CGRect) -> CGImage? { nil }
}
public class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int, space: CGColorSpace,
        bitmapInfo: UInt32
    ) {}
    public func setFillColor(red: CGFloat, green: CGFloat, blue: CGFloat, alpha: CGFloat) {}
    public func fill(_ rect: CGRect) {}
    public func draw(_ image: CGImage, in rect: CGRect) {}
}
