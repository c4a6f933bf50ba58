import Foundation
import XCTest

@testable import MobileVLMCore

/// A folder with two golden records of a `FakeEngine`, and its model.
final class CheckFixture {
    static let names = ["half.ppm", "exact-demo.ppm"]
    static let question = "What is this?"

    let folder: URL
    let engine = FakeEngine(endsOften: false)
    let model: LoadedModel

    /// - Parameter change: can falsify a record
    init(in folder: URL, maxContext: Int = 512, change: (inout Record) -> Void = { _ in }) async throws {
        self.folder = folder
        let golden = folder.appending(path: "golden")
        try FileManager.default.createDirectory(at: golden, withIntermediateDirectories: true)
        let files = ["golden.json"] + Self.names
        model = LoadedModel(
            folder: folder, manifest: try Self.manifest(files.map { "golden/\($0)" }, maxContext), engine: engine,
            tokenizer: SessionFixture.tokenizer, loadSeconds: 1.5)
        var records = [Any]()
        for name in Self.names {
            let file = golden.appending(path: name)
            try Data(contentsOf: Golden.folder.appending(path: "pixels/\(name)")).write(to: file)
            var record = try await Self.record(model, try pixels(name))
            change(&record)
            let values = try JSONSerialization.jsonObject(with: JSONEncoder().encode(record)) as! [String: Any]
            records.append(values.merging(["picture": name]) { $1 })
        }
        try write(["records": records])
    }

    var index: URL { folder.appending(path: "golden/golden.json") }

    func write(_ values: Any) throws { try JSONSerialization.data(withJSONObject: values).write(to: index) }

    func pixels(_ name: String) throws -> [UInt8] {
        var square = SquarePixels(model.manifest.image)
        return square.pixels(of: try Golden.picture(Golden.folder.appending(path: "pixels/\(name)")))
    }

    /// A correct phone's record of `pixels`: eight tokens without an end.
    static func record(_ model: LoadedModel, _ pixels: [UInt8]) async throws -> Record {
        let ids = try PromptIDs(model, question: question)
        let image = (0..<model.manifest.image.tokens).map { PromptRow.image($0) }
        let rows = ids.before.map { PromptRow.token($0) } + image + ids.after.map { .token($0) }
        let answer = FakeEngine.answer(pixels, rows, most: 8, endsOften: false)
        let answered = Answer(text: model.tokenizer.decode(answer), tokenIDs: answer, ended: .length)
        return try await RecordMaker(model: model, methods: FakeMethods())
            .make(pixels, question: question, maxNewTokens: 8, answered)
    }

    func check() -> SelfCheck {
        let clock = FakeClock(), warmth = Log()
        return SelfCheck(
            model, decode: { try Golden.picture($0) },
            thermal: { Thermal.allCases[warmth.addAndCount("asked") - 1] }, peakBytes: { 123 << 20 }, now: { clock.now })
    }

    private static func manifest(_ paths: [String], _ maxContext: Int) throws -> Manifest {
        var bundle = try TestBundle(largest: 10)
        bundle.manifest["files"] =
            (bundle.manifest["files"] as! [Any])
            + paths.map { ["path": $0, "bytes": 1, "sha256": String(repeating: "0", count: 64)] as [String: Any] }
        bundle.manifest["context"] = ["max_context": maxContext, "max_prefill": maxContext]
        return try ManifestReader.read(bundle.manifestBytes, name: "test")
    }
}

/// Each token's embedding is its id; the logits are constant.
struct FakeMethods: ModelMethods {
    let decoded = Decoded()
    var imageCount = 36 * 192
    var logit: @Sendable (Int) -> Float = { Float($0 * 104_729 % 640) / 8 }

    final class Decoded: @unchecked Sendable {
        private let lock = NSLock()
        private var calls = [(position: Int, embeds: [Float])]()

        var all: [(position: Int, embeds: [Float])] { lock.withLock { calls } }
        func add(_ position: Int, _ embeds: [Float]) { lock.withLock { calls.append((position, embeds)) } }
    }

    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float] {
        (0..<imageCount).map { Float($0 * 7919 % 1000 - 500) / 64 }
    }

    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float] {
        ids.flatMap { [Float](repeating: Float($0), count: 192) }
    }

    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float] {
        decoded.add(position, embeds)
        return (0..<640).map(logit)
    }
}

extension Log {
    func addAndCount(_ entry: String) -> Int {
        add(entry)
        return count(entry)
    }
}
