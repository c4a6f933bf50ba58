import Foundation
import XCTest

@testable import MobileVLMCore

final class ForegroundGateTests: XCTestCase {
    private struct Failure: Error {}

    func testWorkWaitsUntilItIsOpen() async throws {
        let gate = ForegroundGate(), log = Log()
        try await gate.guarding { _ = log.add("open") }
        gate.close()
        let waiting = (0..<3).map { _ in Task { try await gate.guarding { _ = log.add("waited") } } }
        try await Task.sleep(for: .milliseconds(20))
        XCTAssertEqual(log.all, ["open"])
        gate.open()
        for task in waiting { try await task.value }
        XCTAssertEqual(log.count("waited"), 3)
    }

    func testACancelledTaskStopsWaiting() async throws {
        let gate = ForegroundGate()
        gate.close()
        for isLate in [true, false] {
            let waiting = Task {
                if !isLate { withUnsafeCurrentTask { $0?.cancel() } }
                try await gate.guarding { XCTFail("it is closed") }
            }
            if isLate {
                try await Task.sleep(for: .milliseconds(20))
                waiting.cancel()
            }
            let result = await waiting.result
            XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
        }
        gate.open()
        try await gate.guarding {}
    }

    func testOnlyAFailureThatOverlapsTheBackgroundIsACancellation() async throws {
        let gate = ForegroundGate()
        for isClosed in [false, true] {
            do {
                try await gate.guarding {
                    if isClosed {
                        gate.close()
                        gate.open()
                    }
                    throw Failure()
                }
                XCTFail("expected a failure")
            } catch {
                XCTAssertEqual(error is CancellationError, isClosed)
            }
        }
    }

    func testClosedAgainBeforeTheWorkBeginsItsFailureIsACancellation() async throws {
        let gate = ForegroundGate()
        for _ in 0..<50 {
            gate.close()
            let waiting = Task { try await gate.guarding { () -> Void in throw Failure() } }
            while gate.waiters == 0 { await Task.yield() }
            gate.open()
            gate.close()
            let result = await waiting.result
            XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
        }
    }
}
