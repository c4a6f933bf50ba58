import XCTest

@testable import MobileVLMCore

final class LiveModeTests: XCTestCase {
    private static let (width, height) = (320, 240)
    private let cool = PhoneCondition()

    private func frame(rowStride: Int = width, pixelStride: Int = 1, _ level: (Int, Int) -> Int) -> FrameSketch {
        var bytes = [UInt8](repeating: 0, count: rowStride * Self.height)
        for y in 0..<Self.height {
            for x in 0..<Self.width { bytes[y * rowStride + x * pixelStride] = UInt8(clamping: level(x, y)) }
        }
        return bytes.withUnsafeBytes {
            try! FrameSketch(width: Self.width, height: Self.height, rowStride: rowStride, pixelStride: pixelStride, luma: $0)
        }
    }

    private func onDesk(_ x: Int, _ y: Int) -> Int { (40...140).contains(x) && (60...200).contains(y) ? 200 : 90 }
    private var desk: FrameSketch { frame(onDesk) }
    private var window: FrameSketch { frame { x, y in x > 180 || y < 50 ? 230 : 40 } }

    func testNoiseAndLightAreNoChangeAnotherSceneIs() {
        var random = SplitMix64(state: 1)
        let noisy = frame { onDesk($0, $1) + Int(random.nextUnit() * 31) - 15 }
        let brighter = frame { onDesk($0, $1) + 30 }
        let moved = frame { onDesk($0 - 4, $1 - 2) }
        for same in [desk, noisy, brighter, moved] { XCTAssertLessThan(desk.difference(same), LivePolicy.changed) }
        let taken = frame { _, _ in 90 }
        for other in [window, taken] { XCTAssertGreaterThan(desk.difference(other), LivePolicy.changed) }
        XCTAssertEqual(desk.difference(window), window.difference(desk), accuracy: 1e-12)
    }

    func testStridesDoNotMatter() {
        XCTAssertEqual(desk, frame(rowStride: 352, onDesk))
        XCTAssertEqual(desk, frame(rowStride: 4 * Self.width, pixelStride: 4, onDesk))
    }

    func testAPlaneThatIsTooSmallIsRefused() {
        for (width, height) in [(64, 65), (65, 64), (0, 64), (64, 0)] {
            assertThrows("frame: got 4096 bytes") {
                try [UInt8](repeating: 0, count: 4096).withUnsafeBytes {
                    try FrameSketch(width: width, height: height, rowStride: 64, luma: $0)
                }
            }
        }
    }

    func testAStillSceneIsDescribedOnce() {
        var live = LiveMode()
        XCTAssertEqual(live.onFrame(desk, at: .zero, cool), .describe)
        XCTAssertEqual(live.onFrame(desk, at: .milliseconds(100), cool), .skip)
        live.onAnswered(at: .seconds(3))
        for second in 3..<20 { XCTAssertEqual(live.onFrame(desk, at: .seconds(second), cool), .skip) }
        XCTAssertEqual(live.onFrame(window, at: .seconds(20), cool), .describe)
    }

    func testAChangedSceneReplacesTheOneBeingDescribed() {
        var live = LiveMode()
        _ = live.onFrame(desk, at: .zero, cool)
        XCTAssertEqual(live.onFrame(window, at: .milliseconds(100), cool), .replace)
        XCTAssertEqual(live.onFrame(window, at: .milliseconds(200), cool), .skip)
        live.onAnswered(at: .seconds(2))
        XCTAssertEqual(live.onFrame(window, at: .seconds(9), cool), .skip)
    }

    func testAQueuedFrameIsReplacedAtNoCost() {
        var live = LiveMode()
        _ = live.onFrame(desk, at: .zero, cool)
        for tenth in 1...9 {
            let same = tenth % 2 == 0 ? desk : window
            XCTAssertEqual(live.onFrame(same, at: .milliseconds(100 * tenth), cool, isWaiting: true), .replace)
            XCTAssertEqual(live.onFrame(same, at: .milliseconds(100 * tenth), cool, isWaiting: true), .replace)
        }
        XCTAssertEqual(live.onFrame(desk, at: .seconds(1), cool), .replace, "the others didn't count")
    }

    func testAMovingCameraStillGetsAnswers() {
        var live = LiveMode()
        let actions = (0..<20).map { live.onFrame($0 % 2 == 0 ? desk : window, at: .milliseconds($0 * 100), cool) }
        XCTAssertEqual(actions.filter { $0 != .skip }, [.describe, .replace, .replace])
        live.onAnswered(at: .seconds(3))
        XCTAssertEqual(live.onFrame(window, at: .seconds(4), cool), .describe)
        XCTAssertEqual(live.onFrame(desk, at: .seconds(5), cool), .replace, "counted again")
    }

    func testWarmthAndLowPowerModeSlowItDown() {
        func cooldown(_ thermal: Thermal, _ isLowPowerMode: Bool) -> Duration? {
            LivePolicy.cooldown(PhoneCondition(thermal: thermal, isLowPowerMode: isLowPowerMode))
        }
        let rests: [Duration?] = [.milliseconds(500), .seconds(2), .seconds(6), nil]
        XCTAssertEqual(Thermal.allCases.map { cooldown($0, false) }, rests)
        XCTAssertEqual(Thermal.allCases.map { cooldown($0, true) }, [.seconds(8), .seconds(8), .seconds(12), nil])
        var live = LiveMode()
        let warm = PhoneCondition(thermal: .serious)
        _ = live.onFrame(desk, at: .zero, warm)
        live.onAnswered(at: .seconds(1))
        XCTAssertEqual(live.onFrame(window, at: .milliseconds(6_900), warm), .skip)
        XCTAssertEqual(live.onFrame(window, at: .seconds(7), warm), .describe)
    }

    func testAHotPhoneAndTheBackgroundPauseItUntilTheyEnd() {
        for condition in [PhoneCondition(thermal: .critical), PhoneCondition(isInForeground: false)] {
            var live = LiveMode()
            _ = live.onFrame(desk, at: .zero, cool)
            XCTAssertEqual(live.onFrame(desk, at: .milliseconds(100), condition), .pause)
            live.onAnswered(at: .milliseconds(150))  // of the stopped answer
            XCTAssertEqual(live.onFrame(desk, at: .milliseconds(200), cool), .skip)
            XCTAssertEqual(live.onFrame(desk, at: .milliseconds(600), cool), .describe)
        }
    }

    func testASceneWhoseAnswerFailedIsDescribedAgain() {
        var live = LiveMode()
        _ = live.onFrame(desk, at: .zero, cool)
        live.onAnswered(at: .seconds(1), isFailed: true)
        XCTAssertEqual(live.onFrame(desk, at: .milliseconds(1_100), cool), .skip)
        XCTAssertEqual(live.onFrame(desk, at: .milliseconds(1_500), cool), .describe)
    }
}
