import Foundation
import XCTest

@testable import MobileVLMCore

final class SHA256Tests: XCTestCase {
    /// FIPS 180-4's examples, and the empty text.
    private let known = [
        "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq":
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ]

    func testKnownTexts() {
        for (text, hash) in known {
            XCTAssertEqual(SHA256Digest.hex(of: Data(text.utf8)), hash)
            XCTAssertEqual(portable([Array(text.utf8)]), hash)
        }
    }

    func testAMillionLettersInPartsOfEverySize() {
        let hash = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        var parts = [[UInt8]](), left = 1_000_000, size = 0
        while left > 0 {
            size = size % 200 + 1
            parts.append([UInt8](repeating: UInt8(ascii: "a"), count: min(size, left)))
            left -= size
        }
        XCTAssertEqual(portable(parts), hash)
    }

    private func portable(_ parts: [[UInt8]]) -> String {
        var hasher = PortableSHA256()
        for part in parts { part.withUnsafeBytes { hasher.update($0) } }
        return hexadecimal(hasher.finalized())
    }
}
