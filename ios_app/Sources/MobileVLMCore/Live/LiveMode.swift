/// Live mode: which camera frames are looked at. The newest frame wins; one that comes while another is described replaces it only if the
/// scene has changed; a still scene is described once. Times are of one clock that never goes back.
public struct LiveMode: Sendable {
    private var described: FrameSketch?  // the frame being described, or described last
    private var isBusy = false
    private var cooldownFrom: Duration?
    private var isFailed = false
    private var replaced = 0  // frames in a row that were not described to their end

    public init() {}

    /// What to do with `frame`, which came at `now`. After `look` or `replace` it counts as being described.
    ///
    /// - Parameters:
    ///   - canDescribe: whether there is a model that could
    ///   - isWaiting: whether the frame being described hasn't begun to be encoded: then a newer one takes its place for nothing
    public mutating func onFrame(
        _ frame: FrameSketch, at now: Duration, _ condition: PhoneCondition, canDescribe: Bool = true, isWaiting: Bool = false
    ) -> LiveAction {
        guard let cooldown = LivePolicy.cooldown(condition) else {
            isBusy = false
            described = nil
            cooldownFrom = now
            return .pause
        }
        let action = action(frame, now, cooldown, canDescribe: canDescribe, isWaiting: isWaiting)
        if action == .describe || action == .replace {
            described = frame
            isBusy = true
            isFailed = false
            replaced = action == .describe ? 0 : isWaiting ? replaced : replaced + 1
        }
        return action
    }

    /// The frame's answer came to its end at `now`, or failed: then the same scene is looked at again.
    public mutating func onAnswered(at now: Duration, isFailed: Bool = false) {
        guard isBusy else { return }
        isBusy = false
        cooldownFrom = now
        self.isFailed = isFailed
    }

    private func action(
        _ frame: FrameSketch, _ now: Duration, _ cooldown: Duration, canDescribe: Bool, isWaiting: Bool
    ) -> LiveAction {
        let isChanged = described.map { $0.difference(frame) > LivePolicy.changed } ?? true
        guard canDescribe else { return .skip }
        if isBusy {
            return isWaiting || (isChanged && replaced < LivePolicy.maxReplaced) ? .replace : .skip
        }
        guard isChanged || isFailed else { return .skip }
        if let cooldownFrom, now - cooldownFrom < cooldown { return .skip }
        return .describe
    }
}
