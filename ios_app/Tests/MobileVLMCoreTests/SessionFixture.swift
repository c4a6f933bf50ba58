import Foundation
import XCTest

@testable import MobileVLMCore

/// A session over a `FakeEngine` with the demo's manifest and tokenizer; reads nothing from disk.
final class SessionFixture: Sendable {
    static let manifest = try! ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json"))
    static let tokenizer = try! Tokenizer(PromptTests.demoTokenizer)
    static let folder = URL(filePath: "/a.mvlm", directoryHint: .isDirectory)

    let engine: FakeEngine
    let states = States()
    let clock = FakeClock()
    let session: VLMSession

    /// - Parameters:
    ///   - onState: called on the session's executor with each reported state
    ///   - whileLoading: called in the middle of each load
    init(
        _ engine: FakeEngine = FakeEngine(), memory: MemoryFit = .fits,
        onState: @escaping @Sendable (VLMSession, SessionState) -> Void = { _, _ in },
        whileLoading: @escaping @Sendable (VLMSession) async throws -> Void = { _ in }
    ) {
        self.engine = engine
        let box = Box()
        session = VLMSession(
            load: { folder, _, progress in
                progress(0.5)
                await Task.yield()
                try await whileLoading(box.session!)
                await engine.reset()
                return LoadedModel(
                    folder: folder, manifest: Self.manifest, engine: engine, tokenizer: Self.tokenizer, memory: memory)
            },
            now: { [clock] in clock.now },
            listener: { [states] state in
                states.add(state)
                if let session = box.session { onState(session, state) }
            })
        box.session = session
    }

    private final class Box: @unchecked Sendable {
        weak var session: VLMSession?
    }

    /// Opens a model and shows picture 1.
    func seen() async -> SessionFixture {
        await session.open(Self.folder)
        await session.show(Self.picture(1))
        await session.settle()
        return self
    }

    func asked(_ question: String, maxNewTokens: Int = VLMSession.maxNewTokens) async {
        let isAsked = await session.ask(question, maxNewTokens: maxNewTokens)
        XCTAssertTrue(isAsked, question)
        await session.settle()
    }

    /// A uniformly grey picture of the size that needs no resize.
    static func picture(_ shade: Int) -> Picture {
        let side = manifest.image.size
        return try! Picture(
            width: side, height: side, pixels: [UInt32](repeating: UInt32(shade) * 0x10101, count: side * side))
    }

    /// Checks that every answer is the engine's answer about picture `shade` after the preceding turns.
    func requireSound(
        _ shade: Int, endsOften: Bool = true, _ what: String = "", file: StaticString = #filePath, line: UInt = #line
    ) async {
        let prompt = Prompt(Self.manifest.prompt), tokenizer = Self.tokenizer
        let pixels = [UInt8](repeating: UInt8(shade), count: 3 * Self.manifest.image.size * Self.manifest.image.size)
        let state = await session.state
        func check(_ isSo: Bool, _ why: String) { XCTAssertTrue(isSo, "\(what): \(why): \(state)", file: file, line: line) }
        var rows: [PromptRow] = [.token(1)] + tokenizer.encode(Self.manifest.prompt.beforeImage).map { .token($0) }
        rows += (0..<Self.manifest.image.tokens).map { .image($0) }
        for (index, turn) in state.turns.filter({ $0.ended != .failed }).enumerated() {
            let text = try! index == 0 ? prompt.afterImage(turn.question) : prompt.followUp(turn.question)
            rows += tokenizer.encode(text).map { .token($0) }
            let most = turn.ended == .complete ? VLMSession.maxNewTokens : turn.tokenIDs.count
            let expected = FakeEngine.answer(pixels, rows, most: most, endsOften: endsOften)
            check(turn.tokenIDs == expected, "another picture's or conversation's answer")
            check(turn.answer == tokenizer.decode(turn.tokenIDs), "text lost")
            check(turn.ended != nil, "no end")
            rows += turn.tokenIDs.map { .token($0) } + [.token(2)]
        }
        check(state.usedTokens <= state.maxTokens, "more than the context")
        let misuse = await engine.misuse
        XCTAssertNil(misuse, what, file: file, line: line)
    }
}

/// A clock that advances a quarter of a second with each reading.
final class FakeClock: @unchecked Sendable {
    private let lock = NSLock()
    private var time = Duration.zero

    var now: Duration {
        lock.withLock {
            time += .milliseconds(250)
            return time
        }
    }
}

/// The states reported by a session, in order.
final class States: @unchecked Sendable {
    private let lock = NSLock()
    private var reported = [SessionState]()

    var all: [SessionState] { lock.withLock { reported } }

    func add(_ state: SessionState) { lock.withLock { reported.append(state) } }
}

/// Waits until `isSo`, which depends on concurrent work; fails after half a minute.
func eventually(
    _ what: String, isolation: isolated (any Actor)? = #isolation, file: StaticString = #filePath, line: UInt = #line,
    _ isSo: () async -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(30)
    while await !isSo() {
        if ContinuousClock.now > end {
            XCTFail("expected that \(what)", file: file, line: line)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(1))
    }
}

/// Records events in order.
final class Log: @unchecked Sendable {
    private let lock = NSLock()
    private var entries = [String]()

    var all: [String] { lock.withLock { entries } }

    @discardableResult
    func add(_ entry: String) -> String {
        lock.withLock { entries.append(entry) }
        return entry
    }

    func count(_ entry: String) -> Int { lock.withLock { entries.filter { $0 == entry }.count } }
}
