import Foundation

@testable import MobileVLMCore

/// The Core ML programs as the kit's evaluator runs them, in the Python process that serves `tests/ios_seam.py`'s socket.
actor PipeEngine: VLMEngine {
    private struct Hello: Decodable {
        let chunk: Int
        let manifest: String
    }

    private struct Reply: Decodable {
        let bytes: Int?
        let error: String?
    }

    nonisolated let chunk: Int
    private let pipe: Connection

    /// - Throws: `EngineError` if the socket isn't served, or the engine has another bundle than that of `manifest`.
    init(_ socket: URL, _ manifest: Manifest) throws {
        pipe = try Connection(socket)
        let hello = try JSONDecoder().decode(Hello.self, from: pipe.line())
        guard hello.manifest == manifest.id else {
            throw EngineError("engine: got bundle \(hello.manifest), expected \(manifest.id)")
        }
        chunk = hello.chunk
    }

    func look(_ pixels: [UInt8]) throws {
        _ = try call(["call": "look", "bytes": pixels.count], Data(pixels))
    }

    func prefill(_ rows: [PromptRow], at position: Int) throws {
        _ = try call(["call": "prefill", "arguments": [rows.map(code), position]])
    }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) throws -> Int32 {
        let logits = try call(["call": "next", "arguments": [rows.map(code), position]])
        #if os(macOS) && arch(x86_64)
            throw EngineError("engine: got \(logits.count) bytes of float16, which Swift hasn't on an Intel Mac")
        #else
            return logits.withUnsafeBytes { sampler.next($0.bindMemory(to: Float16.self)) }
        #endif
    }

    private func code(_ row: PromptRow) -> Int {
        switch row {
        case .token(let id): Int(id)
        case .image(let index): -1 - index
        }
    }

    private func call(_ values: [String: Any], _ bytes: Data = Data()) throws -> Data {
        try pipe.send(JSONSerialization.data(withJSONObject: values) + Data("\n".utf8) + bytes)
        let reply = try JSONDecoder().decode(Reply.self, from: pipe.line())
        if let error = reply.error { throw EngineError("engine: \(error)") }
        return try pipe.read(reply.bytes ?? 0)
    }
}

/// A connection to a socket in the file system. Whatever the other side does, no call waits longer than two minutes.
private final class Connection {
    private let descriptor: Int32
    private var pending = Data()

    init(_ file: URL) throws {
        signal(SIGPIPE, SIG_IGN)  // a write to a side that is gone fails instead
        #if canImport(Darwin)
            descriptor = socket(AF_UNIX, SOCK_STREAM, 0)
        #else
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        var longest = timeval(tv_sec: 120, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &longest, socklen_t(MemoryLayout<timeval>.size))
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(file.path.utf8)
        try withUnsafeMutableBytes(of: &address.sun_path) { room in
            guard path.count < room.count else {
                throw EngineError("\(file.path): got a path of \(path.count) bytes, expected fewer than \(room.count)")
            }
            room.copyBytes(from: path)
        }
        let isConnected = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard isConnected else { throw EngineError("\(file.path): nobody serves it, expected tests/ios_seam.py") }
    }

    deinit { close(descriptor) }

    func send(_ data: Data) throws {
        var rest = data[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw EngineError("engine: it is gone") }
            rest = rest.dropFirst(count)
        }
    }

    func line() throws -> Data {
        while true {
            if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                defer { pending = Data(pending[(end + 1)...]) }
                return Data(pending[..<end])
            }
            try more()
        }
    }

    func read(_ count: Int) throws -> Data {
        while pending.count < count { try more() }
        defer { pending = Data(pending.dropFirst(count)) }
        return Data(pending.prefix(count))
    }

    private func more() throws {
        var room = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(descriptor, &room, room.count, 0)
        guard count > 0 else { throw EngineError("engine: it is gone") }
        pending += room[..<count]
    }
}
