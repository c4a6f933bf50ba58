/// Live mode: which camera frames are looked at. The newest frame wins; one that comes while another is described replaces it only if the
/// scene has changed; a still scene is described once. Times are of one clock that never goes back.
public struct LiveMode: Sendable {
    private var described: FrameSketch?  // the frame being described, or described last
    private var isBusy = false
    private var restedFrom: Duration?
    private var isFailed = false
    private var replaced = 0  // frames in a row that were not described to their end

    public init() {}

    /// What to do with `frame`, which came at `now`. After `look` or `replace` it counts as being described.
    ///
    /// - Parameters:
    ///   - canLook: whether there is a model that could
    ///   - isWaiting: whether the frame being described hasn't begun to be encoded: then a newer one takes its place for nothing
    public mutating func onFrame(
        _ frame: FrameSketch, at now: Duration, _ condition: PhoneCondition, canLook: Bool = true, isWaiting: Bool = false
    ) -> LiveAction {
        guard let rest = LivePolicy.rest(condition) else {
            isBusy = false
            described = nil
            restedFrom = now
            return .pause
        }
        let action = action(frame, now, rest, canLook: canLook, isWaiting: isWaiting)
        if action == .look || action == .replace {
            described = frame
            isBusy = true
            isFailed = false
            replaced = action == .look ? 0 : isWaiting ? replaced : replaced + 1
        }
        return action
    }

    /// The frame's answer came to its end at `now`, or failed: then the same scene is looked at again.
    public mutating func onAnswered(at now: Duration, isFailed: Bool = false) {
        guard isBusy else { return }
        isBusy = false
        restedFrom = now
        self.isFailed = isFailed
    }

    private func action(
        _ frame: FrameSketch, _ now: Duration, _ rest: Duration, canLook: Bool, isWaiting: Bool
    ) -> LiveAction {
        let isChanged = described.map { $0.difference(frame) > LivePolicy.changed } ?? true
        guard canLook else { return .skip }
        if isBusy {
            return isWaiting || (isChanged && replaced < LivePolicy.mostReplaced) ? .replace : .skip
        }
        guard isChanged || isFailed else { return .skip }
        if let restedFrom, now - restedFrom < rest { return .skip }
        return .look
    }
}
