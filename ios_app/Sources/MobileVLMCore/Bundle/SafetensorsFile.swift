import Foundation

/// A memory-mapped safetensors file: the header's length, the header (JSON), then the tensors' bytes back to back.
///
/// Every offset is checked before a byte is read: each tensor's size matches its shape, and together they fill the file exactly.
struct SafetensorsFile {
    /// The data types that the kit writes, by their names in the file.
    enum DataType: String {
        case F32, I8, U8

        var bytes: Int { self == .F32 ? 4 : 1 }
    }

    /// All of the file.
    let content: Data

    private struct Tensor: Decodable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    /// A tensor, or the metadata, which is unused.
    private struct Entry: Decodable {
        let tensor: Tensor?

        init(from decoder: Decoder) throws {
            tensor = decoder.codingPath.last?.stringValue == "__metadata__" ? nil : try Tensor(from: decoder)
        }
    }

    private static let largestHeader = 1 << 20

    private let name: String
    private let tensors: [String: Tensor]
    private let data: Range<Int>

    /// - Throws: `BundleError` if the file can't be read, is truncated, or doesn't match its header.
    init(_ file: URL) throws(BundleError) {
        name = file.path
        guard let mapped = try? Data(contentsOf: file, options: .alwaysMapped) else {
            throw BundleError("\(name): can't be read, expected a safetensors file")
        }
        content = mapped
        guard mapped.count >= 8 else { throw BundleError("\(name): got \(mapped.count) bytes, expected a safetensors file") }
        let length = mapped.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        guard length <= UInt64(min(Self.largestHeader, mapped.count - 8)) else {
            throw BundleError("\(name): got a header of \(length) bytes in a file of \(mapped.count), expected a shorter one")
        }
        data = 8 + Int(length)..<mapped.count
        guard let entries = try? JSONDecoder().decode([String: Entry].self, from: mapped[8..<data.lowerBound]) else {
            throw BundleError("\(name): got a header that isn't JSON of tensors, expected dtype, shape and data_offsets of each")
        }
        tensors = entries.compactMapValues(\.tensor)
        try requireEndToEnd()
    }

    /// The range in `content` of the tensor `tensor`, which must have `type` and `shape`.
    func bytes(of tensor: String, _ type: DataType, _ shape: [Int]) throws(BundleError) -> Range<Int> {
        let expected = "\(type) \(shape)"
        guard let found = tensors[tensor] else { throw BundleError("\(name): got no \(tensor), expected it as \(expected)") }
        guard found.dtype == type.rawValue, found.shape == shape else {
            throw BundleError("\(name): \(tensor): got \(shown("\(found.dtype) \(found.shape)")), expected \(expected)")
        }
        let (begin, end) = (found.data_offsets[0], found.data_offsets[1])
        let bytes = shape.reduce((value: type.bytes, isTooMuch: false)) { size, side in
            let (value, overflow) = size.value.multipliedReportingOverflow(by: side)
            return (value, size.isTooMuch || overflow)
        }
        guard !bytes.isTooMuch, end - begin == bytes.value else {
            throw BundleError("\(name): \(tensor): got \(end - begin) bytes, expected \(expected)")
        }
        return data.lowerBound + begin..<data.lowerBound + end
    }

    /// Throws `BundleError` if the tensors aren't exactly `names`.
    func requireOnly(_ names: [String]) throws(BundleError) {
        let got = tensors.keys.sorted()
        if got != names {
            throw BundleError(
                "\(name): got tensors \(shown(got.joined(separator: ", "))), expected \(names.joined(separator: ", "))")
        }
    }

    /// Checks that tensors don't overlap or exceed the file, and leave no gaps.
    private func requireEndToEnd() throws(BundleError) {
        var at = 0
        let spans = tensors.map { ($0.key, $0.value.data_offsets) }
        for (tensor, span) in spans.sorted(by: { $0.1.lexicographicallyPrecedes($1.1) }) {
            guard span.count == 2, span[0] == at, (at...data.count).contains(span[1]) else {
                throw BundleError(
                    "\(name): \(shown(tensor)): got data_offsets \(span), expected them from \(at) to at most \(data.count)")
            }
            at = span[1]
        }
        if at != data.count { throw BundleError("\(name): got tensors of \(at) bytes, expected \(data.count)") }
    }
}
