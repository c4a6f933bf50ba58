import Foundation
import XCTest

@testable import MobileVLMCore

final class ModelLoaderTests: XCTestCase {
    private var folder: URL!
    private var bundle: URL!
    private let opened = Log()

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        bundle = try stored("one").folder
    }

    override func tearDown() {
        try? FileManager.default.removeItem(at: folder)
    }

    private func loader(memory: Int64 = .max) -> ModelLoader {
        let clock = FakeClock()
        return ModelLoader(
            availableMemory: { memory }, now: { clock.now },
            openEngine: { [opened] folder, _ in
                opened.add(folder.lastPathComponent)
                return FakeEngine()
            })
    }

    private func stored(_ name: String, _ bundle: TestBundle? = nil) throws -> StoredBundle {
        let file = folder.appending(path: "\(name).mvlm.zip")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (bundle ?? TestBundle(largest: 1000)).zipped().write(to: file)
        return try BundleStore(folder.appending(path: "bundles-\(name)")).add(file)
    }

    func testLoadsAValidBundleAndReportsHowWellItFits() async throws {
        let shares = Log()
        VerifiedStamp.delete(in: bundle)
        let model = try await loader().load(bundle) { shares.add("\($0)") }
        XCTAssertEqual(shares.all.last, "1.0")
        XCTAssertEqual(model.memory, .fits)
        XCTAssertEqual(model.loadSeconds, 0.25)
        XCTAssertEqual(model.chunk, 16)
        let needed = model.manifest.memoryBytes
        let tight = try await loader(memory: needed).load(bundle) { _ in }
        XCTAssertEqual(tight.memory, .tight)
        XCTAssertEqual(opened.all, ["one.mvlm", "one.mvlm"])
    }

    func testRefusesBeforeTheEngineIsOpened() async throws {
        let needed = try ManifestReader.read(bundle.appending(path: ManifestReader.fileName)).memoryBytes
        var android = try TestBundle(largest: 1000)
        android.manifest["artifacts"] = ["executorch": ["file": "tokenizer.json"]]
        let forAndroid = try stored("android", android).folder
        let corrupt = try stored("corrupt").folder
        try Data("[]".utf8).write(to: corrupt.appending(path: "tokenizer.json"))
        for (bundle, memory, says) in [
            (forAndroid, Int64.max, "got artifacts for executorch, expected coreml"), (corrupt, .max, "damaged"),
            (bundle!, needed - 1, "memory: got \((needed - 1) >> 20) MB"),
        ] {
            let result = await Task { [loader = loader(memory: memory)] in try await loader.load(bundle) { _ in } }.result
            assertThrows(says) { try result.get() }
        }
        let cancelled = Task { [loader = loader(), bundle = bundle!] in
            withUnsafeCurrentTask { $0?.cancel() }
            return try await loader.load(bundle) { _ in }
        }
        let result = await cancelled.result
        XCTAssertThrowsError(try result.get()) { XCTAssertTrue($0 is CancellationError, "\($0)") }
        XCTAssertEqual(opened.all, [])
    }

    func testTheBundleIsHashedAgainAfterTheEngineFailed() async throws {
        let shares = Log()
        _ = try await loader().load(bundle) { shares.add("\($0)") }
        XCTAssertEqual(shares.all, [], "the import hashed it")
        let failing = ModelLoader(availableMemory: { .max }, openEngine: { _, _ in throw EngineError("engine: no") })
        let result = await Task { [bundle = bundle!] in try await failing.load(bundle) { _ in } }.result
        assertThrows("engine: no") { try result.get() }
        _ = try await loader().load(bundle) { shares.add("\($0)") }
        XCTAssertEqual(shares.all.last, "1.0")
    }

    func testTheSessionReportsWhyAndContinuesWithAnother() async throws {
        let corrupt = try stored("corrupt").folder
        try Data("[]".utf8).write(to: corrupt.appending(path: "tokenizer.json"))
        let session = VLMSession(load: loader().load, listener: { _ in })
        await session.open(corrupt)
        await session.settle()
        var state = await session.state
        XCTAssertEqual(state.phase, .failed)
        guard case .bundle(let message) = state.problem else { return XCTFail("got \(state)") }
        XCTAssertTrue(message.contains("damaged"), message)
        await session.show(SessionFixture.picture(1))
        state = await session.state
        XCTAssertEqual(state.problem, .bundle(message), "it stays until another one is opened, or it is tried again")
        await session.open(bundle)
        await session.settle()
        state = await session.state
        XCTAssertEqual(state.phase, .ready, "the picture of another bundle is forgotten")
        XCTAssertNil(state.problem)
        let small = VLMSession(load: loader(memory: 1000).load, listener: { _ in })
        await small.open(bundle)
        await small.settle()
        guard case .memory(let needed, 1000) = await small.state.problem else { return XCTFail("expected a problem of memory") }
        XCTAssertGreaterThan(needed, 1000)
        await small.retry()
        await small.settle()
        var phase = await small.state.phase
        XCTAssertEqual(phase, .failed)
        await small.retry(regardless: true)
        await small.settle()
        phase = await small.state.phase
        XCTAssertEqual(phase, .ready)
        let memory = await small.state.memory
        XCTAssertEqual(memory, .tight, "the user is warned")
        let another = try stored("another").folder
        for next in [another, bundle!] {
            if next == bundle { await small.close() }
            await small.open(next)
            await small.settle()
            phase = await small.state.phase
            XCTAssertEqual(phase, .failed, "asked again for each bundle")
            await small.retry(regardless: true)
            await small.settle()
        }
    }
}
