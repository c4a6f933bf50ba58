import Foundation
import MobileVLMCore

/// Live mode as it is seen.
public struct Live: Sendable, Equatable {
    public let question: String
    /// About the newest described frame; the last one's until the first word comes.
    public internal(set) var answer = ""
    /// Whether no more of `answer` comes.
    public internal(set) var isWhole = false
    /// When the frame that `answer` is about came; nil before the first.
    public internal(set) var seenAt: Duration?
    /// The phone is too warm, or saves its battery.
    public internal(set) var isResting = false

    /// What stands below the answer at the time `now`.
    public func age(at now: Duration) -> Words {
        if isResting { return Words("live_resting") }
        guard let seenAt else { return Words("live_waiting") }
        return Words("live_age", .count(Int((now - seenAt).components.seconds)))
    }
}

/// Live mode: one question, answered again and again about the newest frame.
extension AppModel {
    /// The clock of `Live.seenAt`.
    public var now: Duration { parts.now() }

    public func startLive(_ question: String) {
        let question = question.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !question.isEmpty, session.bundle != nil else { return }
        change { $0.liveQuestion = question }
        if picture != nil { newPicture() }
        endLive()
        liveSession = LiveSession(vlm, question: question, now: parts.now)
        live = Live(question: question)
    }

    public func endLive() {
        guard live != nil else { return }
        live = nil
        liveSession = nil
        stop()
    }

    func lookLive(at frame: Frame) async {
        guard let loop = liveSession else { return }
        let phone = parts.phone
        let condition = PhoneCondition(
            thermal: phone.thermal(), isLowPowerMode: phone.isLowPower(), isInForeground: isInForeground)
        let action = await wishes.then {
            try? await loop.onFrame(try frame.sketch(), condition, picture: frame.picture)
        }.value
        if let action, loop === liveSession { live?.isResting = action == .pause }
    }

    /// Shows what the session has come to say of the newest frame, of the age `age`.
    func followLive(_ state: SessionState, _ age: Duration) {
        guard let turn = state.turns.last, !turn.answer.isEmpty else { return }
        let isNew = turn.ended != nil && live?.isWhole == false
        live?.answer = turn.answer
        live?.isWhole = turn.ended != nil
        live?.seenAt = parts.now() - age
        if isNew { parts.announce([.literal(turn.answer)]) }
    }
}
