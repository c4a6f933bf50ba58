// The parts of Apple's CoreML that `MobileVLMCoreML` uses, with Apple's declarations, so that it compiles and runs on Linux in tests.
import Foundation

public enum MLMultiArrayDataType: Int, Sendable {
    case float64 = 0x10040
    case float32 = 0x10020
    case float16 = 0x10010
    case int32 = 0x20020
    case int8 = 0x20008

    var bytes: Int { (rawValue & 0xFF) / 8 }
}

open class MLMultiArray {
    public let dataType: MLMultiArrayDataType
    public let shape: [NSNumber]
    public let strides: [NSNumber]

    private let base: UnsafeMutableRawPointer
    private let size: Int

    /// Without gaps; the contents are undefined, as with Apple's.
    public convenience init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {
        let sides = shape.map(\.intValue)
        let strides = sides.indices.map { sides[($0 + 1)...].reduce(1, *) }
        self.init(shape: sides, dataType: dataType, strides: strides)
    }

    public init(shape: [Int], dataType: MLMultiArrayDataType, strides: [Int]) {
        self.dataType = dataType
        self.shape = shape.map { NSNumber(value: $0) }
        self.strides = strides.map { NSNumber(value: $0) }
        size = (zip(shape, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 } + 1) * dataType.bytes
        base = .allocate(byteCount: size, alignment: 64)
        base.initializeMemory(as: UInt8.self, repeating: 0xFF, count: size)  // NaN, where it is a float
    }

    deinit { base.deallocate() }

    public func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R) rethrows -> R {
        try body(UnsafeMutableRawBufferPointer(start: base, count: size), strides.map(\.intValue))
    }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(start: base, count: size))
    }

    /// For int32 arrays only.
    public subscript(idx: Int) -> NSNumber {
        get { NSNumber(value: base.load(fromByteOffset: idx * dataType.bytes, as: Int32.self)) }
        set { base.storeBytes(of: newValue.int32Value, toByteOffset: idx * dataType.bytes, as: Int32.self) }
    }
}
