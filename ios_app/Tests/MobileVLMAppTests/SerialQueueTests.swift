import XCTest

@testable import MobileVLMApp

@MainActor
final class SerialQueueTests: XCTestCase, @unchecked Sendable {
    func testWorkIsDoneInTheOrderOfItsRequests() async throws {
        let requests = SerialQueue(), done = Shared([Int]())
        for number in 0..<5 {
            requests.enqueue {
                try? await Task.sleep(for: .milliseconds(5 * (5 - number)))  // the first takes longest
                done.change { $0.append(number) }
            }
        }
        let answer = await requests.enqueue { done.value.count }.value
        XCTAssertEqual(answer, 5)
        requests.enqueue { done.change { $0.append(5) } }
        await requests.settle()
        XCTAssertEqual(done.value, [0, 1, 2, 3, 4, 5])
    }
}
