// The parts of Apple's CoreVideo that `MobileVLMCoreML` uses, with Apple's declarations, so that it compiles and runs on Linux in tests.

public typealias CVReturn = Int32
public typealias OSType = UInt32
public typealias CVBuffer = CVPixelBuffer

public let kCVReturnSuccess: CVReturn = 0
public let kCVReturnInvalidArgument: CVReturn = -6661
public let kCVPixelFormatType_32BGRA: OSType = 0x4247_5241

public final class CFAllocator {}
public final class CFDictionary {}

public struct CVPixelBufferLockFlags: OptionSet, Sendable {
    public static let readOnly = CVPixelBufferLockFlags(rawValue: 1)
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

public final class CVPixelBuffer {
    fileprivate let width: Int
    fileprivate let height: Int
    fileprivate let base: UnsafeMutableRawPointer
    fileprivate var isLocked = false

    fileprivate var bytesPerRow: Int { width * 4 + 64 }  // rows are padded, as on a phone

    fileprivate init(_ width: Int, _ height: Int) {
        (self.width, self.height) = (width, height)
        base = .allocate(byteCount: height * (width * 4 + 64), alignment: 64)
    }

    deinit { base.deallocate() }
}

@discardableResult
public func CVPixelBufferCreate(
    _ allocator: CFAllocator?, _ width: Int, _ height: Int, _ pixelFormatType: OSType, _ pixelBufferAttributes: CFDictionary?,
    _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
    guard width > 0, height > 0, pixelFormatType == kCVPixelFormatType_32BGRA else { return kCVReturnInvalidArgument }
    pixelBufferOut.pointee = CVPixelBuffer(width, height)
    return kCVReturnSuccess
}

@discardableResult
public func CVPixelBufferLockBaseAddress(_ pixelBuffer: CVPixelBuffer, _ lockFlags: CVPixelBufferLockFlags) -> CVReturn {
    pixelBuffer.isLocked = true
    return kCVReturnSuccess
}

@discardableResult
public func CVPixelBufferUnlockBaseAddress(_ pixelBuffer: CVPixelBuffer, _ unlockFlags: CVPixelBufferLockFlags) -> CVReturn {
    pixelBuffer.isLocked = false
    return kCVReturnSuccess
}

/// Nil unless locked, because the address is invalid then.
public func CVPixelBufferGetBaseAddress(_ pixelBuffer: CVPixelBuffer) -> UnsafeMutableRawPointer? {
    pixelBuffer.isLocked ? pixelBuffer.base : nil
}

public func CVPixelBufferGetBytesPerRow(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.bytesPerRow }
public func CVPixelBufferGetWidth(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.width }
public func CVPixelBufferGetHeight(_ pixelBuffer: CVPixelBuffer) -> Int { pixelBuffer.height }
