import Foundation
import MobileVLMCore

/// The visible state of live mode.
public struct LiveState: Sendable, Equatable {
    public let question: String
    /// About the newest described frame; the previous answer until the first word arrives.
    public internal(set) var answer = ""
    /// Whether `answer` is complete.
    public internal(set) var isWhole = false
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

    public func startLive(_ question: String) {
        let question = question.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !question.isEmpty, session.bundle != nil else { return }
        change { $0.liveQuestion = question }
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
        let phone = dependencies.phone
        let condition = PhoneCondition(
            thermal: phone.thermal(), isLowPowerMode: phone.isLowPower(), isInForeground: isInForeground)
        let action = await requests.enqueue {
            try? await loop.onFrame(try frame.sketch(), condition, picture: frame.picture)
        }.value
        if let action, loop === liveSession { live?.isCoolingDown = action == .pause }
    }

    /// Shows the session's answer about the newest frame, which has the age `age`.
    func followLive(_ state: SessionState, _ age: Duration) {
        guard let turn = state.turns.last, !turn.answer.isEmpty else { return }
        let isNew = turn.ended != nil && live?.isWhole == false
        live?.answer = turn.answer
        live?.isWhole = turn.ended != nil
        live?.seenAt = dependencies.now() - age
        if isNew { dependencies.announce([.literal(turn.answer)]) }
    }
}
