import XCTest

@testable import MobileVLMApp

@MainActor
final class InOrderTests: XCTestCase, @unchecked Sendable {
    func testWorkIsDoneInTheOrderOfItsWishes() async throws {
        let wishes = InOrder(), done = Shared([Int]())
        for number in 0..<5 {
            wishes.then {
                try? await Task.sleep(for: .milliseconds(5 * (5 - number)))  // the first takes longest
                done.change { $0.append(number) }
            }
        }
        let answer = await wishes.then { done.value.count }.value
        XCTAssertEqual(answer, 5)
        wishes.then { done.change { $0.append(5) } }
        await wishes.settle()
        XCTAssertEqual(done.value, [0, 1, 2, 3, 4, 5])
    }
}
