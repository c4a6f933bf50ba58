import CZlib
import Foundation

/// Writes a zip archive of stored entries, below 4 GB. Source: PKWARE's APPNOTE 6.3.10.
struct ZipWriter {
    /// A number and its size in bytes.
    private typealias Field = (value: Int, bytes: Int)

    private var entries = Data()
    private var directory = Data()
    private var count = 0

    /// Adds the entry `name`, stored uncompressed.
    mutating func add(_ name: String, _ content: Data) {
        // Version 2.0, a name in UTF-8, stored, midnight of 1980-01-01.
        let kind: [Field] = [(20, 2), (1 << 11, 2), (0, 2), (0, 2), (33, 2)]
        let sizes: [Field] = [(content.count, 4), (content.count, 4), (name.utf8.count, 2), (0, 2)]
        let header = kind + [(Int(checksum(content)), 4)] + sizes
        // Made by version 2.0; no comment, first disk, no attributes, and the entry's offset.
        let place: [Field] = [(0, 2), (0, 2), (0, 2), (0, 4), (entries.count, 4)]
        directory += Self.little([(0x0201_4b50, 4), (20, 2)] + header + place) + Data(name.utf8)
        entries += Self.little([(0x0403_4b50, 4)] + header) + Data(name.utf8) + content
        count += 1
    }

    /// The archive's bytes.
    func finished() -> Data {
        let place: [Field] = [(0, 4), (count, 2), (count, 2), (directory.count, 4), (entries.count, 4), (0, 2)]
        return entries + directory + Self.little([(0x0605_4b50, 4)] + place)
    }

    private static func little(_ fields: [Field]) -> Data {
        Data(fields.flatMap { field in (0..<field.bytes).map { UInt8(truncatingIfNeeded: field.value >> (8 * $0)) } })
    }
}

/// CRC-32 of `content`, as in zip and PNG.
func checksum(_ content: Data) -> UInt32 {
    content.withUnsafeBytes { bytes in
        UInt32(crc32(0, bytes.bindMemory(to: UInt8.self).baseAddress, UInt32(bytes.count)))
    }
}
