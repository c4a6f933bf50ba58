import Foundation

/// Whether one stage of one golden record gave the same result on this phone. `stage` has the name used by `mvlm replay`.
public struct Finding: Sendable, Equatable {
    public let picture: String
    public let stage: String
    public let same: Bool
    public let detail: String

    /// One line for the screen.
    public var line: String { "\(same ? "✓" : "✗") \(picture): \(stage): \(detail)" }
}

/// The result of one golden record on this phone: its `findings`, and the data for a capture.
public struct CheckedRecord: Sendable {
    public let golden: GoldenRecord
    public let picture: Picture
    public let pixels: [UInt8]
    public let findings: [Finding]
    let answered: Answer?

    public var same: Bool { findings.allSatisfy(\.same) }
}

/// The result of "Check this phone".
public struct CheckReport: Sendable {
    public let records: [CheckedRecord]
    public let measurements: Measurements

    public var findings: [Finding] { records.flatMap(\.findings) }

    /// Whether everything matches the desktop.
    public var same: Bool { records.allSatisfy(\.same) }

    /// The most informative record for a capture: the first that differs, else the first. Nil if none was answered.
    public var mostInformative: CheckedRecord? {
        let answered = records.filter { $0.answered != nil }
        return answered.first { !$0.same } ?? answered.first
    }

    /// The capture of `record`, which is in this report, for `mvlm replay` on a desktop. Nil if it wasn't answered.
    ///
    /// - Parameters:
    ///   - methods: the program's methods; if memory is short, `LoadedModel.release` the engine before opening them
    ///   - device: facts about the phone
    /// - Throws: `EngineError` and what else the methods throw.
    public func capture(
        _ record: CheckedRecord, _ model: LoadedModel, _ methods: any ModelMethods, device: [String: String]
    ) async throws -> Capture? {
        guard let answered = record.answered else { return nil }
        let asked = record.golden.record
        let made = try await RecordMaker(model: model, methods: methods)
            .make(record.pixels, question: asked.question, maxNewTokens: asked.maxNewTokens, answered)
        return Capture(
            manifestID: model.manifest.id, record: made, pixels: record.pixels, picture: record.picture, device: device,
            stats: measurements)
    }
}

/// "Check this phone": computes the bundle's golden records, compares the results, and measures speed. Run by `VLMSession.check`.
public struct SelfCheck: Sendable {
    private let model: LoadedModel
    private let decode: @Sendable (URL) throws -> Picture
    private let thermal: @Sendable () -> Thermal
    private let peakBytes: @Sendable () -> Int64
    private let now: @Sendable () -> Duration

    /// - Parameters:
    ///   - decode: decodes a PNG file to RGB without color management
    ///   - thermal: how warm the phone is now
    ///   - peakBytes: peak memory of the app; 0 if the system doesn't report it
    ///   - now: a monotonic clock
    public init(
        _ model: LoadedModel, decode: @escaping @Sendable (URL) throws -> Picture, thermal: @escaping @Sendable () -> Thermal,
        peakBytes: @escaping @Sendable () -> Int64, now: @escaping @Sendable () -> Duration = monotonicNow
    ) {
        self.model = model
        self.decode = decode
        self.thermal = thermal
        self.peakBytes = peakBytes
        self.now = now
    }

    /// Runs every record and reports each finding; `progress` receives records done and total records. The engine's KV cache
    /// still holds the last record.
    ///
    /// - Throws: `CaptureError` if the bundle has no records; what `decode` throws; `CancellationError`.
    public func run(
        progress: @Sendable (Int, Int) -> Void = { _, _ in }, onFinding: @Sendable (Finding) -> Void = { _ in }
    ) async throws -> CheckReport {
        let golden = try GoldenRecords.read(model.folder, model.manifest)
        let before = thermal()
        var records = [CheckedRecord](), times = [AnswerTimes]()
        for record in golden {
            progress(records.count, golden.count)
            records.append(try await check(record, &times, onFinding))
        }
        progress(golden.count, golden.count)
        let measurements = Measurements(
            times, loadSeconds: model.loadSeconds, peakBytes: peakBytes(), thermalBefore: before, thermalAfter: thermal())
        return CheckReport(records: records, measurements: measurements)
    }

    private func check(
        _ golden: GoldenRecord, _ times: inout [AnswerTimes], _ onFinding: @Sendable (Finding) -> Void
    ) async throws -> CheckedRecord {
        try Task.checkCancellation()
        let record = golden.record
        var findings = [Finding]()
        func find(_ stage: String, _ same: Bool, _ detail: String) {
            let finding = Finding(picture: golden.name, stage: stage, same: same, detail: detail)
            findings.append(finding)
            onFinding(finding)
        }
        func compare<Value: Equatable>(_ stage: String, _ got: Value, _ expected: Value, _ same: String) {
            let detail = got == expected ? same : "got \("\(got)".prefix(40))…, expected \("\(expected)".prefix(40))…"
            find(stage, got == expected, detail)
        }
        let picture = try decode(golden.picture)
        var square = SquarePixels(model.manifest.image)
        let pixels = square.pixels(of: picture)
        compare("preprocessing", SHA256Digest.hex(of: pixels), record.pixelsSHA256, "the same pixels")
        var answered: Answer?
        do {
            let ids = try PromptIDs(model, question: record.question), all = ids.before + ids.after
            compare("tokenizer", all, record.idsBeforeImage + record.idsAfterImage, "the same \(all.count) ids")
            let said = try await answer(record, pixels, &times)
            let difference = Self.difference(said, record)
            find("decoder", difference == nil, difference ?? "the same answer")
            answered = said
        } catch let error as CancellationError {
            throw error
        } catch is ContextFullError {
            find("decoder", false, "the question and its answer don't fit the context")
        } catch let error as PromptError {
            find("tokenizer", false, error.message)
        } catch {
            find("decoder", false, "the engine failed: \(VLMSession.line(error))")
        }
        return CheckedRecord(golden: golden, picture: picture, pixels: pixels, findings: findings, answered: answered)
    }

    private func answer(_ record: Record, _ pixels: [UInt8], _ times: inout [AnswerTimes]) async throws -> Answer {
        var conversation = Conversation(model), sampler = Sampler.greedy
        let began = now()
        try await conversation.encodeImage(pixels)
        let asked = now()
        var answerTimes = AnswerTimes(imageSeconds: (asked - began).inSeconds, asked: asked)
        let answered = try await conversation.answer(
            [], record.question, maxNewTokens: record.maxNewTokens, by: &sampler, isStopped: { Task.isCancelled }
        ) { _ in answerTimes.text(at: now()) }
        try Task.checkCancellation()
        answerTimes.answered(tokens: answered.tokenIDs.count)
        times.append(answerTimes)
        return answered
    }

    private static func difference(_ answered: Answer, _ record: Record) -> String? {
        let (text, expected) = (answered.text, record.answer)
        if text != expected {
            let at = zip(text, expected).prefix { $0 == $1 }.count
            let (here, there) = (text.dropFirst(at).prefix(20), expected.dropFirst(at).prefix(20))
            return "from character \(at + 1): got '\(here)', expected '\(there)'"
        }
        if let ids = record.answerIDs, ids != answered.tokenIDs { return "the same answer in other tokens" }
        guard answered.ended.reason == record.stopReason else {
            return "the same answer, but it ended by \(answered.ended.reason), expected \(record.stopReason)"
        }
        return nil
    }
}
