import Foundation
import MobileVLMCore

/// "Check this phone" as it is seen: findings as they come, then the speed.
public struct Check: Sendable {
    public internal(set) var isRunning = true
    public internal(set) var findings = [Finding]()
    var report: CheckReport?
    /// Why it ended early, or has no capture.
    public internal(set) var failure: String?
    public internal(set) var isCapturing = false
    /// A capture to be shared.
    public internal(set) var capture: URL?

    public var benchmark: Benchmark? { report?.benchmark }

    public var canCapture: Bool { benchmark != nil && !isCapturing }

    public var verdict: Words {
        let differing = findings.count { !$0.same }
        if isCapturing { return Words("check_capturing") }
        if isRunning { return Words("check_running") }
        if benchmark == nil { return Words(failure == nil ? "check_interrupted" : "check_failed") }
        if differing == 0 { return Words("check_same", .count(findings.count)) }
        return Words("check_differs", .count(differing), .count(findings.count))
    }

    /// What was found, in the user's words; of what differs, `Finding.detail` says how.
    public static func line(_ finding: Finding) -> Words {
        let stage: Words.Value =
            switch finding.stage {
            case "preprocessing": .words("stage_pixels")
            case "tokenizer": .words("stage_prompt")
            default: .words("stage_answer")
            }
        return Words(finding.same ? "check_line_same" : "check_line_differs", .text(finding.picture), stage)
    }

    public var figures: [Words] {
        guard let benchmark else { return [] }
        return [
            Words("check_load", .decimal(benchmark.loadSeconds)), Words("check_image", .decimal(benchmark.imageEncodeSeconds)),
            Words("check_first", .decimal(benchmark.firstTokenSeconds)),
            Words("check_speed", .decimal(benchmark.tokensPerSecond)),
            Words("check_memory", .bytes(benchmark.peakBytes)),
            Words("check_thermal", .words("thermal_\(benchmark.thermalAfter.rawValue)")),
        ]
    }
}

/// "Check this phone": parity with the desktop, speed, and a capture to share.
extension AppModel {
    private typealias Change = @Sendable (inout Check) -> Void

    /// Whether there is a model to be checked.
    public var canCheck: Bool {
        [.ready, .looking, .seen, .answering].contains(session.phase) && check?.isRunning != true
    }

    public var checkNeedsModel: Bool { check == nil && !canCheck }

    public func startCheck() async {
        guard canCheck else { return }
        endLive()
        endCheck()
        let parts = parts
        await lend(Check()) { model, tell in
            let phone = parts.phone
            let check = SelfCheck(
                model, decode: parts.decodeExactly, thermal: phone.thermal, peakBytes: phone.peakBytes, now: parts.now)
            let done = try await check.run(onFinding: { finding in tell { $0.findings.append(finding) } })
            tell { $0.report = done }
        }
        if let check, !check.isRunning { parts.announce([check.verdict]) }
    }

    /// Computes the record that tells most stage by stage, and writes it for `mvlm replay`: `Check.capture`.
    public func makeCapture() async {
        guard var check, check.canCapture, let report = check.report, let record = report.telling else { return }
        check.isCapturing = true
        check.failure = nil
        check.capture = nil
        let parts = parts
        await lend(check) { model, tell in
            guard let methods = try model.engine as? any ModelMethods else {
                throw EngineError("engine: got one that runs no methods alone, expected one for captures")
            }
            guard let capture = try await report.capture(record, model, methods, device: parts.phone.describe()) else { return }
            let file = parts.captures.appending(path: "capture-\(Int(Date().timeIntervalSince1970)).zip")
            try? FileManager.default.removeItem(at: parts.captures)
            try? FileManager.default.createDirectory(at: parts.captures, withIntermediateDirectories: true)
            try CaptureWriter.write(capture, to: file)
            tell { $0.capture = file }
        }
    }

    func endCheck() {
        guard check != nil else { return }
        checks += 1
        check = nil
        stop()
    }

    /// Lends the model to `work`, beginning with what is seen as `first`; returns when it is done.
    private func lend(
        _ first: Check,
        _ work: @escaping @Sendable (LoadedModel, @escaping @Sendable (@escaping Change) -> Void) async throws -> Void
    ) async {
        let before = check
        check = first
        checks += 1
        let mine = checks
        let (changes, told) = AsyncStream.makeStream(of: Change.self)
        let isBegun = await wishes.then { [vlm] in
            await vlm.check { model in
                defer { told.finish() }
                do {
                    try await work(model) { told.yield($0) }
                } catch is CancellationError {
                    // It was interrupted.
                } catch {
                    let line = (error as? any MobileVLMError)?.message ?? "check: \(error)"
                    told.yield { $0.failure = line }
                }
            }
        }.value
        guard isBegun else {
            if mine == checks { check = before }
            return
        }
        let settling = Task { [vlm] in
            await vlm.settle()  // it has the model back
            told.finish()  // also if it let the work go before that began
        }
        for await change in changes where mine == checks { change(&check!) }
        if mine == checks {
            check!.isRunning = false
            check!.isCapturing = false
        }
        await settling.value
    }
}
