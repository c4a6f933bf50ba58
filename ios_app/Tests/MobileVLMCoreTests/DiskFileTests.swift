import Foundation
import XCTest

@testable import MobileVLMCore

final class DiskFileTests: XCTestCase {
    private let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)

    override func tearDown() {
        try? FileManager.default.removeItem(at: file)
    }

    func testBytesAreReadFromAnyOffsetAndEndWithTheFile() throws {
        try Data(0..<100).write(to: file)
        let disk = try DiskFile(reading: file)
        XCTAssertEqual(try disk.bytes(), 100)
        for (offset, count, expected) in [(0, 10, 0..<10), (90, 20, 90..<100), (100, 5, 100..<100), (7, 0, 7..<7)] {
            var room = [UInt8](repeating: 255, count: count)
            let got = try room.withUnsafeMutableBytes { try disk.read(into: $0, at: UInt64(offset)) }
            XCTAssertEqual(Array(room[..<got]), expected.map { UInt8($0) }, "from \(offset)")
        }
        var room = [UInt8](repeating: 0, count: 8)
        XCTAssertEqual(try room.withUnsafeMutableBytes { try disk.read(into: $0, at: .max) }, 0)
    }

    func testANewFileIsWrittenAndNoneIsReplaced() throws {
        do {
            let disk = try DiskFile(creating: file)
            for part in [Data("one ".utf8), Data(), Data("two".utf8)] { try part.withUnsafeBytes { try disk.write($0) } }
            try disk.synchronize()
        }
        XCTAssertEqual(try Data(contentsOf: file), Data("one two".utf8))
        XCTAssertThrowsError(try DiskFile(creating: file)) { XCTAssertEqual(($0 as? POSIXError)?.code, .EEXIST) }
        XCTAssertThrowsError(try DiskFile(reading: file.appending(path: "none")))
        let reader = try DiskFile(reading: file)
        XCTAssertThrowsError(try Data("three".utf8).withUnsafeBytes { try reader.write($0) }, "a full disk fails alike")
        XCTAssertEqual(try Data(contentsOf: file), Data("one two".utf8))
    }
}
