import Foundation

/// An open file, read and written by POSIX calls in the caller's own memory.
///
/// `FileHandle` returns bytes in autoreleased objects, which one long job frees only at its end: hashing a model would hold all of it.
final class DiskFile {
    private let descriptor: Int32

    /// Opens `file` for reading.
    ///
    /// - Throws: `POSIXError`, here and below.
    convenience init(reading file: URL) throws {
        try self.init(file, O_RDONLY)
    }

    /// Creates `file`, which must not exist, for writing.
    convenience init(creating file: URL) throws {
        try self.init(file, O_WRONLY | O_CREAT | O_EXCL)
    }

    private init(_ file: URL, _ flags: Int32) throws {
        descriptor = Int32(try Self.checked { Int(open(file.path, flags | O_CLOEXEC, 0o644)) })
    }

    deinit { close(descriptor) }

    /// The file's size.
    func bytes() throws -> UInt64 {
        var status = stat()
        _ = try Self.checked { Int(fstat(descriptor, &status)) }
        return UInt64(status.st_size)
    }

    /// Reads into `room` from `offset` on. Returns the number of bytes read, which is less than the room's only at the end of the file.
    func read(into room: UnsafeMutableRawBufferPointer, at offset: UInt64) throws -> Int {
        guard offset <= UInt64(off_t.max) - UInt64(room.count) else { return 0 }
        var got = 0
        while got < room.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: room[got...])
            let count = try Self.checked { pread(descriptor, part.baseAddress, part.count, off_t(offset) + off_t(got)) }
            if count == 0 { break }
            got += count
        }
        return got
    }

    /// Appends `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            #if canImport(Darwin)
                let count = try Self.checked { Darwin.write(descriptor, part.baseAddress, part.count) }
            #else
                let count = try Self.checked { Glibc.write(descriptor, part.baseAddress, part.count) }
            #endif
            rest = rest.dropFirst(count)
        }
    }

    /// Waits until the file's bytes are on the disk.
    func synchronize() throws {
        _ = try Self.checked { Int(fsync(descriptor)) }
    }

    private static func checked(_ call: () -> Int) throws -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        }
    }
}
