// Apple's Core ML, if available, runs the programs itself.
#if os(Linux)
    import CoreML
    import CoreVideo
    import Foundation

    @testable import MobileVLMCore

    /// Runs Core ML programs with the kit's evaluator, in the Python process that serves `tests/ios_seam.py`'s socket.
    final class SeamPrograms: FakePrograms, @unchecked Sendable {
        private struct Described: Codable {
            let name: String
            let type: String
            let shape: [Int]
        }

        private struct Call: Encodable {
            let package: String
            let function: String
            let inputs: [Described]
            let state: Int?
            let bytes: Int
        }

        private struct Reply: Decodable {
            let outputs: [Described]?
            let bytes: Int?
            let error: String?
        }

        private let lock = NSLock()
        private let pipe: Connection
        private var states = [MLState]()

        /// - Throws: `EngineError` if the socket isn't served.
        init(_ socket: URL) throws {
            pipe = try Connection(socket)
        }

        func compile(_ package: URL) {}
        func load(_ package: URL, _ function: String?, _ units: MLComputeUnits) {}

        func run(
            _ package: URL, _ function: String?, _ inputs: [String: MLFeatureValue], _ state: MLState?
        ) throws -> [String: MLMultiArray] {
            try lock.withLock {
                var described = [Described](), data = Data()
                for (name, value) in inputs {
                    let (type, shape, bytes) = value.multiArrayValue.map(Self.read) ?? Self.read(value.imageBufferValue!)
                    described.append(Described(name: name, type: type, shape: shape))
                    data += bytes
                }
                let call = Call(
                    package: package.lastPathComponent, function: function ?? "main", inputs: described, state: number(state),
                    bytes: data.count)
                try pipe.send(JSONEncoder().encode(call) + Data("\n".utf8) + data)
                let reply = try JSONDecoder().decode(Reply.self, from: pipe.line())
                if let error = reply.error { throw FakeError(error) }
                return try Dictionary(uniqueKeysWithValues: reply.outputs!.map { ($0.name, try array($0)) })
            }
        }

        private func number(_ state: MLState?) -> Int? {
            guard let state else { return nil }
            if let known = states.firstIndex(where: { $0 === state }) { return known }
            states.append(state)
            return states.count - 1
        }

        /// The engine's own arrays have no gaps.
        private static func read(_ array: MLMultiArray) -> (String, [Int], Data) {
            ("\(array.dataType)", array.shape.map(\.intValue), array.withUnsafeBytes { Data($0) })
        }

        /// Blue, green, red and alpha of each pixel → uint8 [1, 3, S, S].
        private static func read(_ picture: CVPixelBuffer) -> (String, [Int], Data) {
            let (width, height) = (CVPixelBufferGetWidth(picture), CVPixelBufferGetHeight(picture))
            CVPixelBufferLockBaseAddress(picture, .readOnly)
            defer { CVPixelBufferUnlockBaseAddress(picture, .readOnly) }
            let bytes = CVPixelBufferGetBaseAddress(picture)!.assumingMemoryBound(to: UInt8.self)
            let stride = CVPixelBufferGetBytesPerRow(picture)
            var planes = Data(capacity: 3 * width * height)
            for channel in [2, 1, 0] {
                for y in 0..<height { for x in 0..<width { planes.append(bytes[y * stride + 4 * x + channel]) } }
            }
            return ("uint8", [1, 3, height, width], planes)
        }

        /// An output as Core ML may return it: with gaps between its rows.
        private func array(_ described: Described) throws -> MLMultiArray {
            let (rows, width) = (described.shape[1], described.shape[2])
            let type: MLMultiArrayDataType = described.type == "float16" ? .float16 : .float32
            let size = type == .float16 ? 2 : 4, step = rows == 1 ? width : width + 32
            let array = MLMultiArray(shape: described.shape, dataType: type, strides: [rows * step, step, 1])
            let data = try pipe.read(rows * width * size)
            array.withUnsafeMutableBytes { bytes, _ in
                for row in 0..<rows {
                    let part = data[(data.startIndex + row * width * size)...].prefix(width * size)
                    UnsafeMutableRawBufferPointer(rebasing: bytes[(row * step * size)...]).copyBytes(from: part)
                }
            }
            return array
        }
    }

    /// A connection to a Unix socket. No call waits longer than two minutes.
    private final class Connection {
        private let descriptor: Int32
        private var pending = Data()

        init(_ file: URL) throws {
            signal(SIGPIPE, SIG_IGN)  // a write to a closed connection fails instead of raising a signal
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
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
#endif
