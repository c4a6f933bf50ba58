/// Live mode at work: keeps asking a session a standing question about the newest camera frame, as `LiveMode` has it.
///
/// It runs where the session runs, so that nothing comes between what it sees of the session and what it requests.
public actor LiveSession {
    /// Live answers are short: the next frame waits.
    public static let maxNewTokens = 64

    private let session: VLMSession
    private let question: String
    private let maxNewTokens: Int
    private let now: @Sendable () -> Duration
    private var mode = LiveMode()
    private var shown: (picture: Int, at: Duration)?  // the number of the picture that is described, and when its frame came

    public nonisolated var unownedExecutor: UnownedSerialExecutor { session.unownedExecutor }

    /// - Parameter now: a clock that never goes back
    public init(
        _ session: VLMSession, question: String, maxNewTokens: Int = maxNewTokens,
        now: @escaping @Sendable () -> Duration = monotonicNow
    ) {
        self.session = session
        self.question = question
        self.maxNewTokens = maxNewTokens
        self.now = now
    }

    /// A frame came; `picture` makes it a picture, and is called only if it is to be described. Returns what was done.
    ///
    /// - Throws: what `picture` throws; the next frame is looked at instead.
    @discardableResult
    public func onFrame(
        _ frame: FrameSketch, _ condition: PhoneCondition, picture: @Sendable () throws -> Picture
    ) rethrows -> LiveAction {
        let now = now(), state = session.assumeIsolated { $0.state }
        let isOurs = isAbout(state)
        if isOurs, state.turns.last?.ended != nil || state.problem != nil {
            mode.onAnswered(at: now, isFailed: state.problem != nil)
        }
        let canDescribe = [.ready, .encoding, .imageReady, .answering].contains(state.phase)
        var next = mode
        let action = next.onFrame(
            frame, at: now, condition, canDescribe: canDescribe, isWaiting: isOurs && state.isPictureWaiting)
        switch action {
        case .describe, .replace:
            let picture = try picture(), question = question, maxNewTokens = maxNewTokens
            let number = session.assumeIsolated { $0.show(picture, question: question, maxNewTokens: maxNewTokens) }
            shown = (number, now)
        case .pause:
            if isOurs { session.assumeIsolated { $0.stop() } }
        case .skip: break
        }
        mode = next
        return action
    }

    /// How old the described frame is, the one that `state`'s answer is about; nil if it is about another picture.
    public func frameAge(_ state: SessionState) -> Duration? {
        isAbout(state) ? shown.map { now() - $0.at } : nil
    }

    private func isAbout(_ state: SessionState) -> Bool { shown?.picture == state.picture }
}
