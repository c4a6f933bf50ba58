import XCTest

@testable import MobileVLMCore

final class SamplerTests: XCTestCase {
    func testGreedyTakesTheFirstOfTheHighest() {
        var sampler = Sampler.greedy
        XCTAssertEqual(sampler.next([0.5, 3, 3, 1] as [Float]), 1)
        XCTAssertEqual(sampler.next([-.infinity, -5, .nan] as [Float]), 1)
        XCTAssertEqual(sampler.next(([0, 1, 9, 1] as [Float])[1...]), 1, "ids count from the slice's start")
    }

    func testRowsWithoutAPieceAreNeverChosen() {
        var sampler = Sampler.greedy
        sampler.pieces = 3
        XCTAssertEqual(sampler.next([0.5, 3, 3, 9, 9] as [Float]), 1)
        XCTAssertEqual(sampler.next(([0, 1, 9, 1, 99] as [Float])[1...]), 1)
        sampler = Sampler(temperature: 1, topP: 1, seed: 5)
        sampler.pieces = 2
        XCTAssertEqual(Set((0..<200).map { _ in sampler.next([0, 0, 50] as [Float]) }), [0, 1])
    }

    func testTemperatureSamplesFollowTheSoftmax() {
        // softmax([0, ln 2, ln 4] / 1) = 1/7, 2/7, 4/7; at temperature 0.5: 1/21, 4/21, 16/21
        let logits = [0, 0.693147, 1.386294] as [Double]
        for (temperature, expected) in [(1.0, [1 / 7.0, 2 / 7, 4 / 7]), (0.5, [1 / 21.0, 4 / 21, 16 / 21])]
            as [(Double, [Double])]
        {
            let shares = drawn(logits, Sampler(temperature: temperature, topP: 1, seed: 7))
            for (share, wanted) in zip(shares, expected) { XCTAssertEqual(share, wanted, accuracy: 0.01) }
        }
    }

    func testTopPLeavesOutTheUnlikely() {
        let logits = [0, 0.693147, 1.386294] as [Double]
        XCTAssertEqual(drawn(logits, Sampler(temperature: 1, topP: 0.5, seed: 1)), [0, 0, 1])
        let two = drawn(logits, Sampler(temperature: 1, topP: 0.7, seed: 1))
        XCTAssertEqual(two[0], 0)
        XCTAssertEqual(two[2], 2 / 3.0, accuracy: 0.01)
        let half = drawn([1, 1], Sampler(temperature: 1, topP: 0.5, seed: 1))
        XCTAssertEqual(half, [1, 0, 0], "the first has half of it, which is enough")
    }

    func testASeedRepeats() {
        var one = Sampler(temperature: 1, topP: 1, seed: 3), other = one
        let logits = [Float](repeating: 0, count: 50)
        XCTAssertEqual((0..<20).map { _ in one.next(logits) }, (0..<20).map { _ in other.next(logits) })
    }

    private func drawn(_ logits: [Double], _ sampler: Sampler) -> [Double] {
        var sampler = sampler, counts = [0.0, 0, 0]
        for _ in 0..<20_000 { counts[Int(sampler.next(logits))] += 1 / 20_000 }
        return counts.map { ($0 * 20_000).rounded() / 20_000 }
    }
}
