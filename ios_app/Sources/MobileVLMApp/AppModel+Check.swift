import Foundation
import MobileVLMCore

/// The visible state of "Check this phone": findings, then measurements.
public struct CheckState: Sendable {
    public internal(set) var isRunning = true
    public internal(set) var findings = [Finding]()
    var report: CheckReport?
    /// Why it ended early or has no capture.
    public internal(set) var failure: String?
    public internal(set) var isCapturing = false
    /// A capture to share.
    public internal(set) var capture: URL?

    public var measurements: Measurements? { report?.measurements }

    public var canCapture: Bool { measurements != nil && !isCapturing }

    public var verdict: LocalizedText {
        let differing = findings.count { !$0.same }
        if isCapturing { return LocalizedText("check_capturing") }
        if isRunning { return LocalizedText("check_running") }
        if measurements == nil { return LocalizedText(failure == nil ? "check_interrupted" : "check_failed") }
        if differing == 0 { return LocalizedText("check_same", .count(findings.count)) }
        return LocalizedText("check_differs", .count(differing), .count(findings.count))
    }

    /// The finding for the user; `Finding.detail` explains a difference.
    public static func line(_ finding: Finding) -> LocalizedText {
        let stage: LocalizedText.Value =
            switch finding.stage {
            case "preprocessing": .localized("stage_pixels")
            case "tokenizer": .localized("stage_prompt")
            default: .localized("stage_answer")
            }
        return LocalizedText(finding.same ? "check_line_same" : "check_line_differs", .text(finding.picture), stage)
    }

    public var figures: [LocalizedText] {
        guard let measurements else { return [] }
        return [
            LocalizedText("check_load", .decimal(measurements.loadSeconds)),
            LocalizedText("check_image", .decimal(measurements.imageEncodeSeconds)),
            LocalizedText("check_first", .decimal(measurements.firstTokenSeconds)),
            LocalizedText("check_speed", .decimal(measurements.tokensPerSecond)),
            LocalizedText("check_memory", .bytes(measurements.peakBytes)),
            LocalizedText("check_thermal", .localized("thermal_\(measurements.thermalAfter.rawValue)")),
        ]
    }
}

/// "Check this phone": parity with the desktop, speed, and a capture to share.
extension AppModel {
    private typealias Change = @Sendable (inout CheckState) -> Void

    /// Whether there is a model to check.
    public var canCheck: Bool {
        [.ready, .encoding, .imageReady, .answering].contains(session.phase) && check?.isRunning != true
    }

    public var checkNeedsModel: Bool { check == nil && !canCheck }

    public func startCheck() async {
        guard canCheck else { return }
        endLive()
        endCheck()
        let dependencies = dependencies
        await lend(CheckState()) { model, tell in
            let phone = dependencies.phone
            let check = SelfCheck(
                model, decode: dependencies.decodeExactly, thermal: phone.thermal, peakBytes: phone.peakBytes,
                now: dependencies.now)
            let done = try await check.run(onFinding: { finding in tell { $0.findings.append(finding) } })
            tell { $0.report = done }
        }
        if let check, !check.isRunning { dependencies.announce([check.verdict]) }
    }

    /// Computes the most informative record stage by stage and writes it for `mvlm replay`; see `CheckState.capture`.
    public func makeCapture() async {
        guard var check, check.canCapture, let report = check.report, let record = report.mostInformative else { return }
        check.isCapturing = true
        check.failure = nil
        check.capture = nil
        let dependencies = dependencies
        await lend(check) { model, tell in
            guard let methods = try model.engine as? any ModelMethods else {
                throw EngineError("engine: can't run single methods, which a capture needs")
            }
            guard let capture = try await report.capture(record, model, methods, device: dependencies.phone.describe()) else {
                return
            }
            let file = dependencies.captures.appending(path: "capture-\(Int(Date().timeIntervalSince1970)).zip")
            try? FileManager.default.removeItem(at: dependencies.captures)
            try? FileManager.default.createDirectory(at: dependencies.captures, withIntermediateDirectories: true)
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

    /// Gives the model to `work`, starting with the visible state `first`; returns when it is done.
    private func lend(
        _ first: CheckState,
        _ work: @escaping @Sendable (LoadedModel, @escaping @Sendable (@escaping Change) -> Void) async throws -> Void
    ) async {
        let before = check
        check = first
        checks += 1
        let mine = checks
        let (changes, continuation) = AsyncStream.makeStream(of: Change.self)
        let isBegun = await requests.enqueue { [vlm] in
            await vlm.check { model in
                defer { continuation.finish() }
                do {
                    try await work(model) { continuation.yield($0) }
                } catch is CancellationError {
                    // It was interrupted.
                } catch {
                    let line = (error as? any MobileVLMError)?.message ?? "check: \(error)"
                    continuation.yield { $0.failure = line }
                }
            }
        }.value
        guard isBegun else {
            if mine == checks { check = before }
            return
        }
        let settling = Task { [vlm] in
            await vlm.settle()  // the session has the model back
            continuation.finish()  // also if the session dropped the work before it began
        }
        for await change in changes where mine == checks { change(&check!) }
        if mine == checks {
            check!.isRunning = false
            check!.isCapturing = false
        }
        await settling.value
    }
}
