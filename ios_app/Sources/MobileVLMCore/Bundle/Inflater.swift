import CZlib
import Foundation

/// Decompresses a raw deflate stream that comes in parts.
final class Inflater {
    private var stream = z_stream()
    private var room = [UInt8](repeating: 0, count: 1 << 18)
    private var isDone = false

    init() {
        // Negative window bits: no zlib header around the data.
        let status = inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib has no memory")
    }

    deinit { inflateEnd(&stream) }

    /// Passes the decompressed `part` to `see`; returns false if it isn't deflate data or continues after its end.
    func inflate(_ part: UnsafeRawBufferPointer, _ see: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
        // zlib only reads its input.
        stream.next_in = UnsafeMutablePointer(mutating: part.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(part.count)
        repeat {
            if isDone { return stream.avail_in == 0 }
            let status = room.withUnsafeMutableBufferPointer { output in
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                return CZlib.inflate(&stream, Z_NO_FLUSH)
            }
            if status == Z_BUF_ERROR { return true }  // zlib had no more output
            guard status == Z_OK || status == Z_STREAM_END else { return false }
            isDone = status == Z_STREAM_END
            let count = room.count - Int(stream.avail_out)
            if count > 0 { try room.withUnsafeBytes { try see(UnsafeRawBufferPointer(rebasing: $0[..<count])) } }
        } while stream.avail_in > 0 || stream.avail_out == 0
        return true
    }
}
