/// Live mode: chooses the camera frames to describe. The newest frame wins; a frame replaces one being described only if the
/// scene has changed; a still scene is described once. Times are of a monotonic clock.
public struct LiveMode: Sendable {
    private var described: FrameSketch?  // the frame being described, or the last one described
    private var isBusy = false
    private var cooldownFrom: Duration?
    private var isFailed = false
    private var replaced = 0  // frames in a row whose description was cut short

    public init() {}

    /// What to do with `frame`, which arrived at `now`. After `describe` or `replace` it counts as being described.
    ///
    /// - Parameters:
    ///   - canDescribe: whether a model is loaded
    ///   - isWaiting: whether encoding of the current frame hasn't begun, so that replacing it costs nothing
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

    /// The frame's answer ended at `now`; after a failure the same scene is described again.
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
