import Foundation

/// Reads a zip file by its central directory: stored and deflated entries, also beyond 4 GB.
///
/// CRCs aren't checked, because the manifest has a SHA-256 of every file. Source: PKWARE's APPNOTE 6.3.10.
final class ZipArchive {
    struct Entry {
        let name: String
        let bytes: UInt64
        fileprivate let storedBytes: UInt64
        fileprivate let header: UInt64  // offset of its local header
        fileprivate let isDeflated: Bool
        var isFolder: Bool { name.utf8.last == UInt8(ascii: "/") }
    }

    private static let maxEntries: UInt64 = 10_000
    private static let maxDirectory: UInt64 = 1 << 24
    private static let chunk = 1 << 18

    let name: String
    private(set) var entries = [Entry]()
    private let file: DiskFile

    /// Opens `file`; errors refer to it as `name`.
    ///
    /// - Throws: `BundleError` if it isn't a zip file, has a path outside the folder or a duplicate, or is too large.
    init(_ file: URL, name: String) throws {
        self.name = name
        guard let opened = try? DiskFile(reading: file) else {
            throw BundleError("\(name): can't be opened, expected a zipped bundle")
        }
        self.file = opened
        let directory = try findDirectory()
        guard directory.count <= Self.maxEntries, directory.bytes <= Self.maxDirectory else {
            throw BundleError("\(name): got \(directory.count) entries, expected at most \(Self.maxEntries)")
        }
        var rest = try read(at: directory.offset, directory.bytes)[...]
        var seen = Set<[UInt8]>()
        for _ in 0..<directory.count {
            let entry = try entry(&rest)
            try ManifestReader.requireInside(entry.name, name: name)
            guard seen.insert(Array(entry.name.utf8)).inserted else {
                throw BundleError("\(name): got \(shown(entry.name)) twice, expected it once")
            }
            entries.append(entry)
        }
    }

    /// Passes the content of `entry` to `see` in parts.
    ///
    /// - Throws: `BundleError` if the archive is damaged; what `see` throws; `CancellationError`.
    func read(_ entry: Entry, _ see: (UnsafeRawBufferPointer) throws -> Void) throws {
        var local = try read(at: entry.header, 30)[...]
        guard try number(4, &local) == 0x0403_4b50 else { throw damaged("a local header is missing") }
        local = local.dropFirst(22)
        var at = entry.header + 30 + (try number(2, &local)) + (try number(2, &local))
        var left = entry.storedBytes
        var got: UInt64 = 0
        func give(_ content: UnsafeRawBufferPointer) throws {
            got += UInt64(content.count)
            if got > entry.bytes { throw damaged("\(shown(entry.name)) is longer than it says") }
            try see(content)
        }
        let inflater = entry.isDeflated ? Inflater() : nil
        var room = [UInt8](repeating: 0, count: Self.chunk)
        while left > 0 {
            try Task.checkCancellation()
            try room.withUnsafeMutableBytes { room in
                let part = UnsafeMutableRawBufferPointer(rebasing: room[..<Int(min(left, UInt64(room.count)))])
                try fill(part, at: at)
                at += UInt64(part.count)
                left -= UInt64(part.count)
                guard let inflater else { return try give(UnsafeRawBufferPointer(part)) }
                guard try inflater.inflate(UnsafeRawBufferPointer(part), give) else {
                    throw damaged("\(shown(entry.name)) can't be decompressed")
                }
            }
        }
        if got != entry.bytes { throw damaged("\(shown(entry.name)) has \(got) bytes of \(entry.bytes)") }
    }

    // MARK: - the directory

    private func findDirectory() throws -> (offset: UInt64, bytes: UInt64, count: UInt64) {
        let size = (try? file.bytes()) ?? 0
        // The end record is 22 bytes and a comment of at most 65,535.
        let tail = min(size, 22 + 65_535)
        let bytes = try read(at: size - tail, tail)
        let signature: [UInt8] = [0x50, 0x4b, 0x05, 0x06]
        guard bytes.count >= 22,
            let begin = (0...(bytes.count - 22)).reversed().first(where: { bytes[$0...].starts(with: signature) })
        else { throw damaged("no end of a zip archive") }
        var rest = bytes[(begin + 10)...]
        let count = try number(2, &rest), length = try number(4, &rest), offset = try number(4, &rest)
        guard count == 0xFFFF || length == 0xFFFF_FFFF || offset == 0xFFFF_FFFF else { return (offset, length, count) }
        // Zip64: a locator before the end record says where the larger record is.
        guard begin >= 20 else { throw damaged("no zip64 locator") }
        var locator = bytes[(begin - 20)..<begin]
        guard try number(4, &locator) == 0x0706_4b50 else { throw damaged("no zip64 locator") }
        locator = locator.dropFirst(4)
        var record = try read(at: number(8, &locator), 56)[...]
        guard try number(4, &record) == 0x0606_4b50 else { throw damaged("no zip64 record") }
        record = record.dropFirst(28)
        let many = try number(8, &record), long = try number(8, &record), far = try number(8, &record)
        return (far, long, many)
    }

    private func entry(_ rest: inout ArraySlice<UInt8>) throws -> Entry {
        guard try number(4, &rest) == 0x0201_4b50 else { throw damaged("its directory is cut short") }
        _ = try take(4, &rest)  // versions
        let flags = try number(2, &rest), method = try number(2, &rest)
        _ = try take(8, &rest)  // time, date, CRC
        var storedBytes = try number(4, &rest), bytes = try number(4, &rest)
        let nameLength = try number(2, &rest), extraLength = try number(2, &rest), commentLength = try number(2, &rest)
        _ = try take(8, &rest)  // disk, attributes: links and modes are ignored, every entry is a plain file
        var header = try number(4, &rest)
        guard let path = String(validating: try take(nameLength, &rest), as: UTF8.self) else {
            throw damaged("a name isn't UTF-8")
        }
        var extra = try take(extraLength, &rest)
        _ = try take(commentLength, &rest)
        while extra.count >= 4 {
            let kind = try number(2, &extra), length = try number(2, &extra)
            var field = try take(length, &extra)
            guard kind == 1 else { continue }  // zip64: the values that didn't fit above, in this order
            if bytes == 0xFFFF_FFFF { bytes = try number(8, &field) }
            if storedBytes == 0xFFFF_FFFF { storedBytes = try number(8, &field) }
            if header == 0xFFFF_FFFF { header = try number(8, &field) }
        }
        guard flags & 1 == 0, method == 0 || method == 8 else {
            throw BundleError("\(name): \(shown(path)): got an encrypted or unusual compression, expected a plain zip")
        }
        return Entry(name: path, bytes: bytes, storedBytes: storedBytes, header: header, isDeflated: method == 8)
    }

    // MARK: - bytes

    private func read(at offset: UInt64, _ count: UInt64) throws -> [UInt8] {
        guard count <= Self.maxDirectory else { throw damaged("it is cut short") }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        try bytes.withUnsafeMutableBytes { try fill($0, at: offset) }
        return bytes
    }

    private func fill(_ room: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
        guard let got = try? file.read(into: room, at: offset), got == room.count else { throw damaged("it is cut short") }
    }

    private func number(_ bytes: UInt64, _ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
        try take(bytes, &rest).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func take(_ count: UInt64, _ rest: inout ArraySlice<UInt8>) throws -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw damaged("it is cut short") }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }

    private func damaged(_ why: String) -> BundleError {
        BundleError("\(name): got a damaged archive (\(why)), expected a zipped bundle")
    }
}
