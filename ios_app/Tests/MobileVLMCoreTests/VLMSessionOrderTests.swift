import Foundation
import XCTest

@testable import MobileVLMCore

/// Every order that matters: a user opens a bundle, shows a picture and asks twice; in the middle of each load and of each of the engine's
/// calls comes every wish and every failure, and each pair of wishes somewhere.
final class VLMSessionOrderTests: XCTestCase {
    private struct Wish: Sendable {
        let name: String
        let make: @Sendable (isolated VLMSession, Play) -> Void
    }

    private static let wishes = [
        Wish(name: "open the same") { session, _ in session.open(Scene.folder) },
        Wish(name: "open another") { session, play in
            session.open(URL(filePath: "/b.mvlm"))
            play.forgets(picture: nil)
        },
        Wish(name: "close") { session, play in
            session.close()
            play.forgets(picture: nil)
        },
        Wish(name: "show") { session, play in
            session.show(Scene.picture(2))
            play.forgets(picture: 2)
        },
        Wish(name: "show and ask") { session, play in
            session.show(Scene.picture(3), question: "What now?", maxNewTokens: 2)
            play.forgets(picture: 3)
            play.asks("What now?")
        },
        Wish(name: "clear") { session, play in
            session.clear()
            play.forgets(picture: nil)
        },
        Wish(name: "ask") { session, play in
            if session.ask("And why?", maxNewTokens: 2) { play.asks("And why?") }
        },
        Wish(name: "stop") { session, play in
            session.stop()
            play.takesBack()
        },
        Wish(name: "undo") { session, play in
            session.undo()
            play.takesBack()
        },
        Wish(name: "new chat") { session, play in
            session.newChat()
            play.takesBack()
        },
        Wish(name: "retry") { session, _ in session.retry() },
        Wish(name: "background") { session, _ in session.background() },
        Wish(name: "release memory") { session, _ in
            session.background()
            session.releaseMemory()
        },
        Wish(name: "foreground") { session, _ in session.foreground() },
        Wish(name: "check") { session, _ in
            session.check { model in try await model.engine.look([UInt8](repeating: 9, count: 3 * 168 * 168)) }
        },
        Wish(name: "check that releases") { session, _ in session.check { $0.release() } },
    ]

    func testEveryWishAtEveryPoint() async {
        let points = await Self.play("alone") { _, _, _ in }
        XCTAssertGreaterThanOrEqual(points, 8)
        for first in 0..<points {
            for wish in Self.wishes {
                _ = await Self.play("\(wish.name) at \(first)") { session, play, point in
                    if point == first { await wish.make(session, play) }
                }
            }
        }
    }

    /// Each pair at two points: the second wish at once, or in the middle of the next call.
    func testEveryPairOfWishes() async {
        let points = await Self.play("alone") { _, _, _ in }
        for (index, wish) in Self.wishes.enumerated() {
            for (nextIndex, next) in Self.wishes.enumerated() {
                for gap in 0...1 {
                    let first = (3 * index + 5 * nextIndex + gap * points / 2) % points
                    _ = await Self.play("\(wish.name) at \(first), \(next.name) \(gap) later") { session, play, point in
                        if point == first { await wish.make(session, play) }
                        if point == first + gap { await next.make(session, play) }
                    }
                }
            }
        }
    }

    func testEveryFailureAtEveryPointAfterEveryWish() async {
        let points = await Self.play("alone") { _, _, _ in }
        for first in 0..<points {
            for wish in Self.wishes {
                _ = await Self.play("\(wish.name) and a failure at \(first)", mayFail: true) { session, play, point in
                    guard point == first else { return }
                    await wish.make(session, play)
                    throw FakeEngine.Failure()
                }
            }
        }
    }

    /// Plays the scene; `interfere` is called at each point with its number. Returns how many points there were.
    private static func play(
        _ what: String, mayFail: Bool = false,
        _ interfere: @escaping @Sendable (VLMSession, Play, Int) async throws -> Void
    ) async -> Int {
        let engine = FakeEngine(chunk: 64, endsOften: false), play = Play()
        let scene = Scene(
            engine,
            whileLoading: { session in
                if let point = play.nextPoint() { try await interfere(session, play, point) }
            })
        let session = scene.session
        await engine.meanwhile { [weak session] _ in
            if let session, let point = play.nextPoint() { try await interfere(session, play, point) }
        }
        await session.open(Scene.folder)
        await begin(session, play)
        await session.settle()
        await goOn(session, play)
        await session.settle()
        let points = play.end()
        await play.requireSound(scene, what, mayFail: mayFail)
        // From here on all goes well: the session must be as good as new.
        await session.foreground()
        await session.open(URL(filePath: "/c.mvlm"))
        await session.show(Scene.picture(9), question: "What is this?", maxNewTokens: 2)
        await session.settle()
        let state = await session.state
        XCTAssertEqual(state.phase, .seen, what)
        XCTAssertNil(state.problem, what)
        XCTAssertEqual(state.turns.map(\.ended), [.length], what)
        await scene.requireSound(9, endsOften: false, what)
        return points
    }

    // Wishes and what is noted of them come at once: nothing is between.

    private static func begin(_ session: isolated VLMSession, _ play: Play) {
        session.show(Scene.picture(1), question: "What is this?", maxNewTokens: 2)
        play.forgets(picture: 1)
        play.asks("What is this?")
    }

    private static func goOn(_ session: isolated VLMSession, _ play: Play) {
        if session.ask("Why?", maxNewTokens: 2) { play.asks("Why?") }
    }
}

/// What a user has wished in one play, and what must have come of it.
private final class Play: @unchecked Sendable {
    private let lock = NSLock()
    private var points = 0
    private var isOver = false
    private var picture: Int?
    private var asked = [(question: String, isSure: Bool)]()

    /// The number of the point that is reached; nil once the play is over.
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

    /// What was asked may be gone.
    func takesBack() { lock.withLock { asked = asked.map { ($0.question, false) } } }

    /// The session is where the last wish points: about the last picture, with every question that nobody took back, in order, and each
    /// answer as the engine gives it.
    func requireSound(_ scene: Scene, _ what: String, mayFail: Bool) async {
        let state = await scene.session.state
        let (picture, asked) = lock.withLock { (self.picture, self.asked) }
        func check(_ isSo: Bool, _ why: String) { XCTAssertTrue(isSo, "\(what): \(why): \(state)") }
        check(![.loading, .answering, .checking].contains(state.phase), "it is at rest")
        check(mayFail || state.problem == nil, "nothing failed")
        let there = state.turns.map(\.question) + [state.waitingQuestion].compactMap { $0 }
        let sure = asked.filter(\.isSure).map(\.question)
        if !mayFail { check(Self.isIn(sure, there), "no question is lost: \(sure)") }
        check(Self.isIn(there, asked.map(\.question)), "nothing else was asked: \(asked)")
        if let picture { await scene.requireSound(picture, endsOften: false, what) } else { check(there.isEmpty, "no picture") }
        Self.requireSound(scene.states.all, what)
        XCTAssertEqual(scene.states.all.last, state, what)
    }

    /// What holds of every state that was told: one open turn at most, and an answer that only grows.
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
