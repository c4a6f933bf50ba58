/// Runs live mode: keeps asking a session the same question about the newest frame that `LiveMode` chooses.
///
/// It shares the session's executor, so that the session can't change between reading its state and making a request.
public actor LiveSession {
    /// Live answers are short, because the next frame is waiting.
    public static let maxNewTokens = 64

    private let session: VLMSession
    private let question: String
    private let maxNewTokens: Int
    private let now: @Sendable () -> Duration
    private var mode = LiveMode()
    private var shown: (picture: Int, at: Duration)?  // the number of the picture being described, and when its frame arrived

    public nonisolated var unownedExecutor: UnownedSerialExecutor { session.unownedExecutor }

    /// - Parameter now: a monotonic clock
    public init(
        _ session: VLMSession, question: String, maxNewTokens: Int = maxNewTokens,
        now: @escaping @Sendable () -> Duration = monotonicNow
    ) {
        self.session = session
        self.question = question
        self.maxNewTokens = maxNewTokens
        self.now = now
    }

    /// A frame arrived. `picture` converts it, and is called only if the frame is described. Returns the action taken.
    ///
    /// - Throws: what `picture` throws; the next frame is tried instead.
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

    /// The age of the frame that the answer in `state` is about; nil if it is about another picture.
    public func frameAge(_ state: SessionState) -> Duration? {
        isAbout(state) ? shown.map { now() - $0.at } : nil
    }

    private func isAbout(_ state: SessionState) -> Bool { shown?.picture == state.picture }
}
