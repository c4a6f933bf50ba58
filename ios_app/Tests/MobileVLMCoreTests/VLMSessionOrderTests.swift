import Foundation
import XCTest

@testable import MobileVLMCore

/// Tests every relevant order: a user opens a bundle, shows a picture and asks twice; in the middle of each load and each engine
/// call comes every request and every failure, and each pair of requests somewhere.
final class VLMSessionOrderTests: XCTestCase {
    private struct Request: Sendable {
        let name: String
        let make: @Sendable (isolated VLMSession, ExpectedOutcome) -> Void
    }

    private static let requests = [
        Request(name: "open the same") { session, _ in session.open(SessionFixture.folder) },
        Request(name: "open another") { session, expected in
            session.open(URL(filePath: "/b.mvlm"))
            expected.forgets(picture: nil)
        },
        Request(name: "close") { session, expected in
            session.close()
            expected.forgets(picture: nil)
        },
        Request(name: "show") { session, expected in
            session.show(SessionFixture.picture(2))
            expected.forgets(picture: 2)
        },
        Request(name: "show and ask") { session, expected in
            session.show(SessionFixture.picture(3), question: "What now?", maxNewTokens: 2)
            expected.forgets(picture: 3)
            expected.asks("What now?")
        },
        Request(name: "clear") { session, expected in
            session.clear()
            expected.forgets(picture: nil)
        },
        Request(name: "ask") { session, expected in
            if session.ask("And why?", maxNewTokens: 2) { expected.asks("And why?") }
        },
        Request(name: "stop") { session, expected in
            session.stop()
            expected.takesBack()
        },
        Request(name: "undo") { session, expected in
            session.undo()
            expected.takesBack()
        },
        Request(name: "new chat") { session, expected in
            session.newChat()
            expected.takesBack()
        },
        Request(name: "retry") { session, _ in session.retry() },
        Request(name: "background") { session, _ in session.background() },
        Request(name: "release memory") { session, _ in
            session.background()
            session.releaseMemory()
        },
        Request(name: "foreground") { session, _ in session.foreground() },
        Request(name: "check") { session, _ in
            session.check { model in try await model.engine.encodeImage([UInt8](repeating: 9, count: 3 * 168 * 168)) }
        },
        Request(name: "check that releases") { session, _ in session.check { $0.release() } },
    ]

    func testEveryRequestAtEveryPoint() async {
        let points = await Self.play("alone") { _, _, _ in }
        XCTAssertGreaterThanOrEqual(points, 8)
        for first in 0..<points {
            for request in Self.requests {
                _ = await Self.play("\(request.name) at \(first)") { session, expected, point in
                    if point == first { await request.make(session, expected) }
                }
            }
        }
    }

    /// Each pair at two points: the second request at once, or in the middle of the next call.
    func testEveryPairOfRequests() async {
        let points = await Self.play("alone") { _, _, _ in }
        for (index, request) in Self.requests.enumerated() {
            for (nextIndex, next) in Self.requests.enumerated() {
                for gap in 0...1 {
                    let first = (3 * index + 5 * nextIndex + gap * points / 2) % points
                    _ = await Self.play("\(request.name) at \(first), \(next.name) \(gap) later") { session, expected, point in
                        if point == first { await request.make(session, expected) }
                        if point == first + gap { await next.make(session, expected) }
                    }
                }
            }
        }
    }

    func testEveryFailureAtEveryPointAfterEveryRequest() async {
        let points = await Self.play("alone") { _, _, _ in }
        for first in 0..<points {
            for request in Self.requests {
                _ = await Self.play("\(request.name) and a failure at \(first)", mayFail: true) { session, expected, point in
                    guard point == first else { return }
                    await request.make(session, expected)
                    throw FakeEngine.Failure()
                }
            }
        }
    }

    /// Runs the script; `interfere` is called at each point with its number. Returns the number of points.
    private static func play(
        _ what: String, mayFail: Bool = false,
        _ interfere: @escaping @Sendable (VLMSession, ExpectedOutcome, Int) async throws -> Void
    ) async -> Int {
        let engine = FakeEngine(chunk: 64, endsOften: false), expected = ExpectedOutcome()
        let fixture = SessionFixture(
            engine,
            whileLoading: { session in
                if let point = expected.nextPoint() { try await interfere(session, expected, point) }
            })
        let session = fixture.session
        await engine.meanwhile { [weak session] _ in
            if let session, let point = expected.nextPoint() { try await interfere(session, expected, point) }
        }
        await session.open(SessionFixture.folder)
        await begin(session, expected)
        await session.settle()
        await goOn(session, expected)
        await session.settle()
        let points = expected.end()
        await expected.requireSound(fixture, what, mayFail: mayFail)
        // From here on nothing fails: the session must work like a new one.
        await session.foreground()
        await session.open(URL(filePath: "/c.mvlm"))
        await session.show(SessionFixture.picture(9), question: "What is this?", maxNewTokens: 2)
        await session.settle()
        let state = await session.state
        XCTAssertEqual(state.phase, .imageReady, what)
        XCTAssertNil(state.problem, what)
        XCTAssertEqual(state.turns.map(\.ended), [.length], what)
        await fixture.requireSound(9, endsOften: false, what)
        return points
    }

    // A request and its record are made in one step, without suspension.

    private static func begin(_ session: isolated VLMSession, _ expected: ExpectedOutcome) {
        session.show(SessionFixture.picture(1), question: "What is this?", maxNewTokens: 2)
        expected.forgets(picture: 1)
        expected.asks("What is this?")
    }

    private static func goOn(_ session: isolated VLMSession, _ expected: ExpectedOutcome) {
        if session.ask("Why?", maxNewTokens: 2) { expected.asks("Why?") }
    }
}

/// The user's requests in one run, and the outcome they must have.
private final class ExpectedOutcome: @unchecked Sendable {
    private let lock = NSLock()
    private var points = 0
    private var isOver = false
    private var picture: Int?
    private var asked = [(question: String, isSure: Bool)]()

    /// The number of the current point; nil once the run is over.
    func nextPoint() -> Int? {
        lock.withLock {
            if isOver { return nil }
            points += 1
            return points - 1
        }
    }

    func end() -> Int {
        lock.withLock {
            isOver = true
            return points
        }
    }

    func forgets(picture shade: Int?) {
        lock.withLock {
            picture = shade
            asked = []
        }
    }

    func asks(_ question: String) { lock.withLock { asked.append((question, true)) } }

    /// Questions so far may be withdrawn.
    func takesBack() { lock.withLock { asked = asked.map { ($0.question, false) } } }

    /// Checks that the session matches the last requests: the last picture, every question that wasn't withdrawn, in order, and each
    /// answer as given by the engine.
    func requireSound(_ fixture: SessionFixture, _ what: String, mayFail: Bool) async {
        let state = await fixture.session.state
        let (picture, asked) = lock.withLock { (self.picture, self.asked) }
        func check(_ isSo: Bool, _ why: String) { XCTAssertTrue(isSo, "\(what): \(why): \(state)") }
        check(![.loading, .answering, .checking].contains(state.phase), "it is at rest")
        check(mayFail || state.problem == nil, "nothing failed")
        let there = state.turns.map(\.question) + [state.waitingQuestion].compactMap { $0 }
        let sure = asked.filter(\.isSure).map(\.question)
        if !mayFail { check(Self.isIn(sure, there), "no question is lost: \(sure)") }
        check(Self.isIn(there, asked.map(\.question)), "nothing else was asked: \(asked)")
        if let picture { await fixture.requireSound(picture, endsOften: false, what) } else { check(there.isEmpty, "no picture") }
        Self.requireSound(fixture.states.all, what)
        XCTAssertEqual(fixture.states.all.last, state, what)
    }

    /// Checks invariants of every reported state: at most one open turn, and an answer that only grows.
    private static func requireSound(_ states: [SessionState], _ what: String) {
        for (before, state) in zip(states, states.dropFirst()) {
            let open = state.turns.filter { $0.ended == nil }.count
            let isSound =
                (open == 0 || open == 1 && state.turns.last?.ended == nil) && (state.phase != .answering || open == 1)
                && (state.phase != .idle || state.bundle == nil && state.turns.isEmpty)
                && (state.phase != .failed || state.problem != nil)
            if !isSound { return XCTFail("\(what): \(state)") }
            for (old, new) in zip(before.turns, state.turns)
            where before.picture == state.picture && old.question == new.question && old.ended == nil && new.ended == nil {
                if !new.answer.hasPrefix(old.answer) { return XCTFail("\(what): text lost: \(before) \(state)") }
            }
        }
    }

    /// Whether `some` are in `all`, in order.
    private static func isIn(_ some: [String], _ all: [String]) -> Bool {
        var rest = all[...]
        return some.allSatisfy { wanted in
            guard let at = rest.firstIndex(of: wanted) else { return false }
            rest = rest[(at + 1)...]
            return true
        }
    }
}
