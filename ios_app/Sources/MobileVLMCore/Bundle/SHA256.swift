import Foundation

#if canImport(CryptoKit)
    import CryptoKit
#endif

/// SHA-256 of bytes that come in parts: CryptoKit's where there is one, otherwise the project's own.
public struct SHA256Digest {
    #if canImport(CryptoKit)
        private var hasher = CryptoKit.SHA256()

        public init() {}

        public mutating func update(_ bytes: some DataProtocol) {
            hasher.update(data: bytes)
        }

        /// The hash in lower-case hexadecimal.
        public func hex() -> String {
            hexadecimal(hasher.finalize())
        }
    #else
        private var hasher = PortableSHA256()

        public init() {}

        public mutating func update(_ bytes: some DataProtocol) {
            for region in bytes.regions { region.withUnsafeBytes { hasher.update($0) } }
        }

        /// The hash in lower-case hexadecimal.
        public func hex() -> String {
            hexadecimal(hasher.finalized())
        }
    #endif

    /// The hash of `bytes`, in lower-case hexadecimal.
    public static func hex(of bytes: some DataProtocol) -> String {
        var digest = SHA256Digest()
        digest.update(bytes)
        return digest.hex()
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// SHA-256 as FIPS 180-4 has it.
struct PortableSHA256 {
    private var state: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var pending = [UInt8]()
    private var length: UInt64 = 0

    private static let constants: [UInt32] = {
        // The first 32 fractional bits of the cube roots of the first 64 primes.
        var primes = [UInt64]()
        var number: UInt64 = 2
        while primes.count < 64 {
            if primes.allSatisfy({ number % $0 != 0 }) { primes.append(number) }
            number += 1
        }
        return primes.map(fractionOfCubeRoot)
    }()

    /// floor(cbrt(prime) · 2³²) mod 2³²: the greatest r with r³ ≤ prime · 2⁹⁶, found bit by bit.
    private static func fractionOfCubeRoot(_ prime: UInt64) -> UInt32 {
        var root: UInt64 = 0
        for bit in (0..<35).reversed() {
            let candidate = root | 1 << UInt64(bit)
            if isCubeAtMost(candidate, prime) { root = candidate }
        }
        return UInt32(truncatingIfNeeded: root)
    }

    /// Whether root³ ≤ prime · 2⁹⁶, in 128 bits.
    private static func isCubeAtMost(_ root: UInt64, _ prime: UInt64) -> Bool {
        let square = root.multipliedFullWidth(by: root)
        let low = square.low.multipliedFullWidth(by: root)
        let high = square.high.multipliedFullWidth(by: root)
        let (middle, carries) = low.high.addingReportingOverflow(high.low)
        let top = high.high + (carries ? 1 : 0)
        if top != 0 { return false }
        let limit = prime << 32
        return middle < limit || (middle == limit && low.low == 0)
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        length += UInt64(bytes.count)
        var at = 0
        if !pending.isEmpty {
            at = min(64 - pending.count, bytes.count)
            pending += bytes[..<at]
            if pending.count < 64 { return }
            pending.withUnsafeBytes { Self.compress($0, at: 0, into: &state) }
            pending.removeAll(keepingCapacity: true)
        }
        while at + 64 <= bytes.count {
            Self.compress(bytes, at: at, into: &state)
            at += 64
        }
        pending += bytes[at...]
    }

    func finalized() -> [UInt8] {
        var copy = self
        let bits = length * 8
        var padding: [UInt8] = [0x80]
        while (pending.count + padding.count) % 64 != 56 { padding.append(0) }
        padding += stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bits >> UInt64($0)) }
        padding.withUnsafeBytes { copy.update($0) }
        return copy.state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
    }

    private static func compress(_ bytes: UnsafeRawBufferPointer, at start: Int, into state: inout [UInt32]) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { words in
            for index in 0..<16 {
                words[index] = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 4 * index, as: UInt32.self))
            }
            for index in 16..<64 {
                let near = words[index - 15], far = words[index - 2]
                let low = rotated(near, 7) ^ rotated(near, 18) ^ (near >> 3)
                let high = rotated(far, 17) ^ rotated(far, 19) ^ (far >> 10)
                words[index] = words[index - 16] &+ low &+ words[index - 7] &+ high
            }
            var (a, b, c, d) = (state[0], state[1], state[2], state[3])
            var (e, f, g, h) = (state[4], state[5], state[6], state[7])
            constants.withUnsafeBufferPointer { constants in
                for index in 0..<64 {
                    let mixed = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
                    let first = h &+ mixed &+ ((e & f) ^ (~e & g)) &+ constants[index] &+ words[index]
                    let second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) &+ ((a & b) ^ (a & c) ^ (b & c))
                    (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
                }
            }
            for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= value }
        }
    }

    private static func rotated(_ word: UInt32, _ bits: UInt32) -> UInt32 {
        word >> bits | word << (32 - bits)
    }
}
