import Foundation
import XCTest

@testable import MobileVLMCore

/// Reads the golden files shared by the tests of all languages.
enum Golden {
    /// `ios_app` of the repository that this file is in.
    static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// `tests/golden` next to it.
    static let folder = package.deletingLastPathComponent().appending(path: "tests/golden")

    struct Cases<Case: Decodable>: Decodable {
        let cases: [Case]
    }

    static func cases<Case: Decodable>(_ path: String, of: Case.Type = Case.self) throws -> [Case] {
        let bytes = try Data(contentsOf: folder.appending(path: path))
        return try JSONDecoder().decode(Cases<Case>.self, from: bytes).cases
    }

    /// A binary PPM.
    static func picture(_ file: URL) throws -> Picture {
        let bytes = [UInt8](try Data(contentsOf: file))
        var words = [String](), at = 0
        while words.count < 4 {
            let end = bytes[at...].firstIndex { $0 == 0x20 || $0 == 0x0A }!
            words.append(String(decoding: bytes[at..<end], as: UTF8.self))
            at = end + 1
        }
        return try Picture(width: Int(words[1])!, height: Int(words[2])!, rgb: Array(bytes[at...]))
    }
}

/// Checks that `work` throws an error whose message contains each of `parts`.
func assertThrows<Value>(
    _ parts: String..., file: StaticString = #filePath, line: UInt = #line, _ work: () throws -> Value
) {
    do {
        _ = try work()
        XCTFail("got no error, expected one that names \(parts)", file: file, line: line)
    } catch {
        for part in parts where !"\(error)".contains(part) {
            XCTFail("got '\(error)', expected it to name '\(part)'", file: file, line: line)
        }
        XCTAssertFalse("\(error)".contains("\n"), "got two lines: \(error)", file: file, line: line)
    }
}
