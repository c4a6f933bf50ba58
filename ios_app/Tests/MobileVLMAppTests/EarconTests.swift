import Foundation
import XCTest

@testable import MobileVLMApp

final class EarconTests: XCTestCase {
    func testEachIsAWholeWAVFile() {
        for earcon in Earcon.allCases {
            let wav = earcon.wav
            func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(wav[at + $1]) << (8 * $1) } }
            XCTAssertEqual(String(decoding: wav[0..<4] + wav[8..<16] + wav[36..<40], as: UTF8.self), "RIFFWAVEfmt data")
            XCTAssertEqual(number(4, 4), wav.count - 8)
            XCTAssertEqual([number(20, 2), number(22, 2), number(24, 4), number(34, 2)], [1, 1, Earcon.rate, 16])
            XCTAssertEqual(number(40, 4), wav.count - 44)
            for at in [44, wav.count - 2] {
                XCTAssertLessThan(abs(Int(Int16(truncatingIfNeeded: number(at, 2)))), 100, "a click")
            }
        }
        XCTAssertEqual(Set(Earcon.allCases.map(\.wav)).count, 3)
    }
}
