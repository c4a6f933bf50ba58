import Foundation

/// A bundle, a picture and a conversation about it: the state that one screen shows.
///
/// Requests are stored at once; one worker carries them out step by step: load, check, encode, answer. A new request replaces older
/// ones that haven't begun and stops an answer that it makes obsolete. So after any sequence of requests, the session ends in the
/// state that the last one asked for. Requests and steps are in extensions.
public actor VLMSession {
    /// Loads the bundle in a folder, with too little memory only if the second argument says so; reports the fraction verified.
    public typealias Load = @Sendable (URL, Bool, @escaping @Sendable (Double) -> Void) async throws -> LoadedModel

    /// The default maximum length of an answer, in tokens.
    public static let maxNewTokens = 256

    enum Step { case unload, load, check, encode, answer }

    struct Question {
        let text: String
        let maxNewTokens: Int
    }

    let load: Load
    let now: @Sendable () -> Duration
    private let listener: @Sendable (SessionState) -> Void

    // Requested.
    var requestedBundle: URL?
    var newPicture: Picture?
    var isToRefresh = false  // restore the conversation in the KV cache
    var question: Question?
    var turns = [ChatTurn]()
    var check: (@Sendable (LoadedModel) async throws -> Void)?
    var sampler = Sampler.greedy
    var isInBackground = false
    var isRegardless = false  // load with too little memory
    var isReleased = false

    // Actual.
    var model: LoadedModel?
    var conversation: Conversation?
    var resizing: Int?  // the number of the picture whose pixels are being made
    var pixels: [UInt8]?
    var running: Step?
    var loading: Task<LoadedModel, any Error>?
    var checking: Task<Void, any Error>?
    var hasFailedToLoad = false
    var isStopping = false
    var isCut = false  // the background cut the current answer, which is asked again
    var verified = 0.0
    var imageSeconds = 0.0
    var usedTokens = 0
    var problem: Problem?
    var worker: Task<Void, Never>?

    // Work that began with another picture, conversation or bundle no longer changes the state.
    var pictureNumber = 0
    var epoch = 0
    var openCount = 0

    /// The newest state.
    public private(set) var state = SessionState()

    /// - Parameters:
    ///   - load: verifies and loads the bundle in a folder (`ModelLoader.load`), reporting the fraction verified
    ///   - now: a monotonic clock
    ///   - listener: receives every new state in order; it must only pass it on
    public init(
        load: @escaping Load, now: @escaping @Sendable () -> Duration = monotonicNow,
        listener: @escaping @Sendable (SessionState) -> Void
    ) {
        self.load = load
        self.now = now
        self.listener = listener
    }

    // MARK: - the worker

    func changed() {
        publish()
        if worker == nil, nextStep() != nil { worker = Task { await work() } }
    }

    private func nextStep() -> Step? {
        if let model {
            if model.folder != requestedBundle || isReleased { return .unload }
            if isInBackground { return nil }
            if check != nil { return .check }
            if newPicture != nil || isToRefresh { return .encode }
            return question != nil && pixels != nil ? .answer : nil
        }
        return requestedBundle != nil && !hasFailedToLoad && !isReleased && !isInBackground ? .load : nil
    }

    private func work() async {
        while let step = nextStep() {
            isStopping = false
            isCut = false
            running = step
            await run(step)
            running = nil
            publish()
            if Task.isCancelled { break }  // what follows needs a worker that isn't cancelled
        }
        worker = nil
        changed()
    }

    /// Returns once nothing is left to do.
    public func settle() async {
        while let worker { await worker.value }
    }

    // MARK: - state

    private var phase: Phase {
        if requestedBundle == nil { return .idle }
        guard let model, model.folder == requestedBundle, running != .unload else {
            if model == nil, isReleased { return .suspended }
            if model == nil, hasFailedToLoad { return .failed }
            return model == nil && isInBackground && running != .load ? .suspended : .loading
        }
        if running == .check || check != nil { return .checking }
        if isAnswering { return .answering }
        if newPicture != nil || isToRefresh || running == .encode { return .encoding }
        return pixels == nil ? .ready : .imageReady
    }

    /// Whether the current answer belongs to this conversation and not to a discarded one.
    var isAnswering: Bool {
        guard running == .answer, let turn = turns.last else { return false }
        return turn.ended == nil
    }

    func publish() {
        var new = SessionState()
        new.phase = phase
        new.bundle = requestedBundle?.deletingPathExtension().lastPathComponent
        new.verified = running == .load && verified > 0 && verified < 1 ? verified : nil
        new.picture = pictureNumber
        new.isPictureWaiting = newPicture != nil
        new.turns = turns
        new.waitingQuestion = question?.text
        new.usedTokens = usedTokens
        new.maxTokens = model?.manifest.maxContext ?? 0
        new.memory = model?.memory ?? .fits
        new.problem = problem
        if new == state { return }
        state = new
        listener(new)
    }
}

/// Monotonic time since an arbitrary moment.
@Sendable public func monotonicNow() -> Duration {
    ContinuousClock.now - started
}

private let started = ContinuousClock.now

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
