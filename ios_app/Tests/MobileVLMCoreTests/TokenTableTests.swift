import XCTest

@testable import MobileVLMCore

final class TokenTableTests: XCTestCase {
    private struct Case: Decodable {
        let file: String
        let form: String
        let vocab_size: Int
        let width: Int
        let sha256: String
        let float16_sha256: String
        let samples: [[Double]]
    }

    private let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).safetensors")

    override func tearDown() {
        try? FileManager.default.removeItem(at: file)
    }

    func testEveryFormsRowsEqualPythons() throws {
        let cases: [Case] = try Golden.cases("token_tables/token_tables.json")
        XCTAssertEqual(cases.map(\.form), ["fp32", "int8", "int4"])
        for golden in cases {
            let table = try TokenTable(
                Golden.folder.appending(path: "token_tables/\(golden.file)"), form: .init(rawValue: golden.form)!,
                vocabSize: golden.vocab_size, width: golden.width)
            var rows = [Float](repeating: .nan, count: table.vocabSize * table.width)
            try rows.withUnsafeMutableBufferPointer { all in
                for token in 0..<table.vocabSize {
                    try table.copy(Int32(token), into: .init(rebasing: all[(token * table.width)...].prefix(table.width)))
                }
            }
            for sample in golden.samples {
                XCTAssertEqual(Double(rows[Int(sample[0]) * table.width + Int(sample[1])]), sample[2], "\(golden.form) \(sample)")
            }
            XCTAssertEqual(SHA256Digest.hex(of: rows.withUnsafeBytes { Data($0) }), golden.sha256, golden.form)
            #if !(os(macOS) && arch(x86_64))
                var halves = [Float16](repeating: .nan, count: rows.count)
                try halves.withUnsafeMutableBufferPointer { all in
                    for token in 0..<table.vocabSize {
                        try table.copy(Int32(token), into: .init(rebasing: all[(token * table.width)...].prefix(table.width)))
                    }
                }
                XCTAssertEqual(SHA256Digest.hex(of: halves.withUnsafeBytes { Data($0) }), golden.float16_sha256, golden.form)
            #endif
        }
    }

    func testATokenOutsideTheVocabularyIsNamed() throws {
        let table = try TokenTable(
            Golden.folder.appending(path: "token_tables/int8.safetensors"), form: .int8, vocabSize: 12, width: 96)
        var row = [Float](repeating: 0, count: 96)
        for token in [-1, 12, Int32.max] as [Int32] {
            assertThrows("int8.safetensors", "got token \(token)", "expected 0 to 11") {
                try row.withUnsafeMutableBufferPointer { try table.copy(token, into: $0) }
            }
        }
    }

    func testADamagedTableIsNamed() throws {
        let weight = #""weight": {"dtype": "I8", "shape": [2, 4], "data_offsets": [8, 16]}"#
        let scale = #""scale": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}"#
        try write("{\"__metadata__\": {\"form\": \"int8\"}, \(scale), \(weight)}", bytes: 16)
        XCTAssertNoThrow(try open())
        func refused(_ header: String, bytes: Int = 16, _ parts: String..., line: UInt = #line) throws {
            try write(header, bytes: bytes)
            for part in parts { assertThrows(file.path, "got", "expected", part, line: line) { try open() } }
        }
        func changed(_ old: String, _ new: String) -> String {
            "{\(scale), \(weight)}".replacingOccurrences(of: old, with: new)
        }
        try refused("{", "JSON")
        try refused("[]", "JSON")
        try refused(#"{"weight": 1}"#, "JSON")
        try refused(changed(#", "data_offsets": [8, 16]"#, ""), "JSON")
        try refused("{\(weight.replacingOccurrences(of: "[8, 16]", with: "[0, 8]"))}", bytes: 8, "no scale")
        try refused(changed("\"weight\"", "\"wait\""), "no weight")
        try refused(changed("I8", "U8"), "weight: got U8 [2, 4], expected I8 [2, 4]")
        try refused(changed("[2, 4]", "[4, 2]"), "weight: got I8 [4, 2]")
        try refused(changed("[2, 1]", "[2]"), "scale: got F32 [2]")
        try refused(changed("[8, 16]", "[8, 15]"), bytes: 15, "weight: got 7 bytes")
        try refused(changed("[8, 16]", "[4, 12]"), "weight: got data_offsets [4, 12], expected them from 8")
        try refused(changed("[8, 16]", "[9, 17]"), bytes: 17, "expected them from 8")
        try refused(changed("[8, 16]", "[8, 17]"), "to at most 16")
        try refused(changed("[8, 16]", "[8, 4]"), "data_offsets [8, 4]")
        try refused(changed("[0, 8]", "[-8, 8]"), "data_offsets [-8, 8]")
        try refused(changed("[8, 16]", "[8]"), "data_offsets [8]")
        try refused("{\(scale), \(weight)}", bytes: 17, "got tensors of 16 bytes, expected 17")
        let other = #""other": {"dtype": "U8", "shape": [1], "data_offsets": [16, 17]}"#
        try refused("{\(scale), \(weight), \(other)}", bytes: 17, "other, scale, weight", "expected scale, weight")
    }

    func testAFileThatIsCutIsNamed() throws {
        assertThrows(file.path, "can't be read") { try open() }
        for bytes in [Data(), Data([1, 2, 3]), Data(repeating: 0xFF, count: 8), Data([9, 0, 0, 0, 0, 0, 0, 0, 0x7B])] {
            try bytes.write(to: file)
            assertThrows(file.path, "got", "expected") { try open() }
        }
        try write("{}", bytes: 0)
        assertThrows("got int4 rows 48 wide", "a multiple of 32") {
            try TokenTable(file, form: .int4, vocabSize: 2, width: 48)
        }
    }

    private func open() throws -> TokenTable { try TokenTable(file, form: .int8, vocabSize: 2, width: 4) }

    private func write(_ header: String, bytes: Int) throws {
        try (TestBundle.little(header.utf8.count, 8) + Data(header.utf8) + Data(count: bytes)).write(to: file)
    }
}
