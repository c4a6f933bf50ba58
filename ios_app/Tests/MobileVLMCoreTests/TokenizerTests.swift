import Foundation
import XCTest

@testable import MobileVLMCore

final class TokenizerTests: XCTestCase {
    private struct Case: Decodable {
        let text: String
        let ids: [String: [Int32]]
    }

    private let files = ["demo": PromptTests.demoTokenizer, "wide": Golden.folder.appending(path: "prompts/wide.model")]

    /// `scripts/test_ios.sh` encodes them with the reference.
    func testRandomTextsHaveTheReferencesIDs() throws {
        let file = Golden.package.appending(path: ".build/random_texts.json")
        guard let bytes = try? Data(contentsOf: file) else {
            throw XCTSkip("no \(file.path): run scripts/test_ios.sh, which makes it with Python")
        }
        let cases = try JSONDecoder().decode(Golden.Cases<Case>.self, from: bytes).cases
        XCTAssertGreaterThanOrEqual(cases.count, 10_000)
        for (name, file) in files {
            let tokenizer = try Tokenizer(file)
            let wrong = cases.filter { tokenizer.encode($0.text) != $0.ids[name] }
            XCTAssertEqual(wrong.map(\.text), [], "\(name): \(wrong.count) of \(cases.count) differ")
            for golden in cases {
                // The characters from JSON, which the tokenizer received, round-trip.
                let decoded = tokenizer.decode(golden.ids[name] ?? [])
                let shown = String(golden.text.unicodeScalars.map { $0 == "\u{2581}" ? " " : Character($0) })
                XCTAssertEqual(Array(decoded.utf8), Array(shown.utf8), name)
            }
        }
    }

    func testPiecesAreThoseOfTheVocabulary() throws {
        let tokenizer = try Tokenizer(PromptTests.demoTokenizer)
        XCTAssertEqual(tokenizer.count, 640)
        XCTAssertEqual(tokenizer.piece(3), "<0x00>")
        XCTAssertEqual(tokenizer.specials, ["<unk>", "<s>", "</s>"])
        XCTAssertEqual(tokenizer.decode([0, 1, 2]), "", "special tokens are never shown")
        XCTAssertEqual(tokenizer.piece(640), "")
        XCTAssertEqual(tokenizer.piece(-1), "")
        XCTAssertEqual(tokenizer.encode(""), [])
    }

    func testFilesThatAreNoModelAreRefused() throws {
        let good = [UInt8](try Data(contentsOf: PromptTests.demoTokenizer))
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "tokenizer.model")
        assertThrows("tokenizer.model", "can't be read") { try Tokenizer(file) }
        for (name, bytes) in [
            ("empty", []), ("text", Array("hello, world".utf8)), ("cut", Array(good.dropLast(3))),
            ("half", Array(good[..<(good.count / 2)])),
            ("zeros", [UInt8](repeating: 0, count: 100)), ("endless number", [UInt8](repeating: 0xFF, count: 100)),
            ("length beyond the file", [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ] as [(String, [UInt8])] {
            try Data(bytes).write(to: file)
            assertThrows("tokenizer.model", "expected") { try Tokenizer(file) }
            XCTAssertThrowsError(try Tokenizer(file), name)
        }
        // A later field of the file counts.
        for (field, says) in [
            ([0x12, 2, 0x18, 1], "another kind of model"), ([0x1A, 3, 0x12, 1, 0x41], "changes the text"),
            ([0x1A, 2, 0x20, 1], "changes the text"), ([0x1A, 2, 0x28, 0], "changes the text"),
            ([0x0A, 5, 0x0A, 1, 0x78, 0x18, 4], "user-defined"), ([0x0A, 5, 0x0A, 1, 0x78, 0x18, 9], "a piece of kind 9"),
        ] as [([UInt8], String)] {
            try Data(good + field).write(to: file)
            assertThrows("tokenizer.model", says, "expected a SentencePiece BPE model") { try Tokenizer(file) }
        }
    }
}
