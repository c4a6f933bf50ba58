import XCTest

@testable import MobileVLMCore

final class TextStreamTests: XCTestCase {
    private struct Case: Decodable {
        let name: String
        let specials: Set<String>
        let pieces: [String]
        let shown: [String]
        let rest: String
    }

    func testGoldenStreams() throws {
        let cases: [Case] = try Golden.cases("text_stream.json")
        XCTAssertGreaterThanOrEqual(cases.count, 20)
        for golden in cases {
            var stream = TextStream(hiding: golden.specials)
            // By scalars, because Swift treats canonically equal texts as equal.
            XCTAssertEqual(golden.pieces.map { scalars(stream.add($0)) }, golden.shown.map(scalars), golden.name)
            XCTAssertEqual(scalars(stream.finish()), scalars(golden.rest), golden.name)
        }
    }

    func testEveryTwoBytesDecodeAsFoundationDoesIt() {
        for first in UInt8.min...UInt8.max {
            for second in UInt8.min...UInt8.max {
                var assembler = UTF8Assembler()
                let got = assembler.add(first) + assembler.add(second) + assembler.finish()
                XCTAssertEqual(scalars(got), scalars(String(decoding: [first, second], as: UTF8.self)), "\(first), \(second)")
            }
        }
    }

    private func scalars(_ text: String) -> [UInt32] { text.unicodeScalars.map(\.value) }
}
