import Foundation
import XCTest

@testable import MobileVLMCore

final class InflaterTests: XCTestCase {
    /// Sizes around the buffer's, 256 KB, in parts of any size.
    func testCompressedDataRoundTrips() throws {
        for count in [0, 1, 1 << 18, 1 << 18 + 1, 1 << 19, 700_000] {
            let content = Data((0..<count).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) })
            for part in [content.count / 3 + 1, 1 << 20] {
                XCTAssertEqual(try inflated(TestBundle.raw(content), part: part), content, "\(count) bytes")
            }
        }
    }

    /// The last match continues beyond the buffer's end when there is no more input.
    func testOutputLeftAfterTheLastInputIsReturned() throws {
        let content = Data(repeating: 0, count: 1 << 18 + 100)
        let packed = TestBundle.raw(content)
        XCTAssertEqual(try inflated(packed, part: packed.count), content)
    }

    func testInvalidOrTrailingDataIsRefused() throws {
        let good = TestBundle.raw(Data(repeating: 7, count: 1 << 18))
        XCTAssertNil(try inflated(good + Data([1]), part: 1 << 20))
        XCTAssertNil(try inflated(good + Data([1]), part: good.count))
        XCTAssertNil(try inflated(Data([0xFF, 0xFF, 0xFF]), part: 3))
    }

    private func inflated(_ packed: Data, part: Int) throws -> Data? {
        let inflater = Inflater()
        var content = Data(), at = 0
        while at < packed.count {
            let isGood = try Data(packed[at..<min(at + part, packed.count)]).withUnsafeBytes { bytes in
                try inflater.inflate(bytes) { content.append(contentsOf: $0) }
            }
            guard isGood else { return nil }
            at += part
        }
        return content
    }
}
