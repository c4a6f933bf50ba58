import Foundation
import MobileVLMCore

/// The visible state of live mode.
public struct LiveState: Sendable, Equatable {
    public let question: String
    /// About the newest described frame; the previous answer until the first word arrives.
    public internal(set) var answer = ""
    /// Whether `answer` is complete.
    public internal(set) var isWhole = false
    /// The session's number of the picture that `answer` is about.
    var picture = 0
    /// When the frame that `answer` describes arrived; nil before the first.
    public internal(set) var seenAt: Duration?
    /// The phone is too warm or saving battery.
    public internal(set) var isCoolingDown = false

    /// The text below the answer at the time `now`.
    public func age(at now: Duration) -> LocalizedText {
        if isCoolingDown { return LocalizedText("live_resting") }
        guard let seenAt else { return LocalizedText("live_waiting") }
        return LocalizedText("live_age", .count(Int((now - seenAt).components.seconds)))
    }
}

/// Live mode: one question, answered repeatedly about the newest frame.
extension AppModel {
    /// The clock of `LiveState.seenAt`.
    public var now: Duration { dependencies.now() }

    /// The question that live mode answers; a blank one becomes the default.
    public var liveQuestion: String {
        get { settings.liveQuestion }
        set {
            let question = newValue.trimmingCharacters(in: .whitespacesAndNewlines)
            change { $0.liveQuestion = question.isEmpty ? Settings.ownLiveQuestion : question }
            if live != nil { startLive() }
        }
    }

    /// Opens the app straight in live mode.
    public var opensLive: Bool {
        get { settings.opensLive }
        set { change { $0.opensLive = newValue } }
    }

    /// Starts live mode now, or as soon as a model is in use.
    public func goLive() {
        arrive(.live)
    }

    /// With `question`, changes the question before.
    public func startLive(asking question: String? = nil) {
        guard session.bundle != nil else { return }
        if let question, question != settings.liveQuestion { liveQuestion = question }
        let question = settings.liveQuestion
        isLiveMode = true
        if picture != nil { newPicture() }
        endLive()
        liveSession = LiveSession(vlm, question: question, now: dependencies.now)
        live = LiveState(question: question)
    }

    public func endLive() {
        guard live != nil else { return }
        live = nil
        liveSession = nil
        stop()
    }

    func lookLive(at frame: Frame) async {
        guard let loop = liveSession else { return }
        let phone = dependencies.phone, visible = frame.visible(in: viewfinder)
        let condition = PhoneCondition(
            thermal: phone.thermal(), isLowPowerMode: phone.isLowPower(), isInForeground: isInForeground)
        let action = await requests.enqueue {
            try? await loop.onFrame(try frame.sketch(visible), condition) { try frame.picture(visible) }
        }.value
        if let action, loop === liveSession { live?.isCoolingDown = action == .pause }
    }

    /// Shows the session's answer about the newest frame, which has the age `age`.
    func followLive(_ state: SessionState, _ age: Duration) {
        guard let turn = state.turns.last, !turn.answer.isEmpty else { return }
        let isNew = turn.ended != nil && (live?.isWhole == false || live?.picture != state.picture)
        live?.picture = state.picture
        live?.answer = turn.answer
        live?.isWhole = turn.ended != nil
        live?.seenAt = dependencies.now() - age
        if isNew { dependencies.announce([.literal(turn.answer)]) }
    }
}
