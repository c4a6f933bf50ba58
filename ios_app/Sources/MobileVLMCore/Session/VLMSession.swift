import Foundation

/// A bundle, a picture and a conversation about it: the state that one screen shows.
///
/// Requests are stored at once; one worker carries them out step by step: load, check, encode, answer. A new request replaces older
/// ones that haven't begun and stops an answer that it makes obsolete. So after any sequence of requests, the session ends in the
/// state that the last one asked for. The requests are here, the steps in an extension.
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
    private var isInBackground = false
    var isRegardless = false  // load with too little memory
    private var isReleased = false

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
    private var worker: Task<Void, Never>?

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

    // MARK: - requests

    /// Uses the bundle in `folder` from now on; picture and conversation of another bundle are forgotten.
    public func open(_ folder: URL) {
        openCount += 1
        if folder == requestedBundle, !hasFailedToLoad { return }
        if folder != requestedBundle {
            forgetPicture()
            isRegardless = false
        }
        cancelCheck()
        requestedBundle = folder
        hasFailedToLoad = false
        problem = nil
        loading?.cancel()
        changed()
    }

    /// Forgets bundle, picture and conversation, and frees the model; also while it loads.
    public func close() {
        openCount += 1
        forgetPicture()
        cancelCheck()
        requestedBundle = nil
        hasFailedToLoad = false
        isReleased = false
        isRegardless = false
        problem = nil
        loading?.cancel()
        changed()
    }

    /// Shows a new picture, optionally with a `question`; it is encoded while the user types. Returns the picture's number:
    /// `SessionState.picture` as long as the state is about it.
    @discardableResult
    public func show(_ picture: Picture, question: String? = nil, maxNewTokens: Int = maxNewTokens) -> Int {
        forgetPicture()
        cancelCheck()
        newPicture = picture
        forgetProblem()
        if let question, !isBlank(question) { self.question = Question(text: question, maxNewTokens: maxNewTokens) }
        changed()
        return pictureNumber
    }

    /// Restores a picture and the conversation `said` about it, such as after the system ended the app. Unfinished turns are dropped.
    public func resume(_ picture: Picture, said: [ChatTurn]) {
        show(picture)
        turns = said.filter { $0.ended != nil }
        changed()
    }

    /// Forgets the picture and what was said about it.
    public func clear() {
        forgetPicture()
        cancelCheck()
        forgetProblem()
        changed()
    }

    /// Asks `question` about the picture, once it is encoded. Returns false and changes nothing if it is blank, there is no picture, or
    /// another question is being answered.
    @discardableResult
    public func ask(_ question: String, maxNewTokens: Int = maxNewTokens) -> Bool {
        let hasPicture = newPicture != nil || pixels != nil || resizing == pictureNumber
        guard !isBlank(question), hasPicture, self.question == nil, !isAnswering, maxNewTokens >= 1 else { return false }
        forgetProblem()
        self.question = Question(text: question, maxNewTokens: maxNewTokens)
        changed()
        return true
    }

    /// Stops the current answer after its current token, or withdraws the queued question; cancels a check.
    public func stop() {
        question = nil
        stopAnswer()
        cancelCheck()
        changed()
    }

    /// Undoes the last question and its answer.
    public func undo() {
        if question != nil {
            question = nil
        } else if !turns.isEmpty {
            restart(turns.dropLast())
        }
        changed()
    }

    /// Starts a new conversation about the same picture, with the whole context free.
    public func newChat() {
        question = nil
        restart([])
        changed()
    }

    /// Retries what failed: loading the bundle, or encoding the picture. With `regardless`, the bundle is loaded even if the phone seems
    /// to have too little memory for it.
    public func retry(regardless: Bool = false) {
        if regardless { isRegardless = true }
        hasFailedToLoad = false
        if pixels != nil { isToRefresh = true }
        problem = nil
        changed()
    }

    /// Gives the loaded model to `work`, for "Check this phone"; nothing else begins meanwhile. The current answer is stopped;
    /// afterwards the conversation is restored, and the model loaded again if `work` has released it. What `work` throws becomes a
    /// `Problem.check`.
    ///
    /// `stop`, `show`, `clear`, `open` of another bundle, `close` and `background` cancel the task that `work` runs in, or drop `work`
    /// if it hasn't begun. Returns false and changes nothing if the bundle's model isn't loaded or a check is running.
    @discardableResult
    public func check(_ work: @escaping @Sendable (LoadedModel) async throws -> Void) -> Bool {
        guard let model, model.folder == requestedBundle, check == nil, checking == nil, !isInBackground else { return false }
        problem = nil
        check = work
        stopAnswer()
        changed()
        return true
    }

    /// Sets how tokens are chosen, from the next answer on.
    public func choose(by sampler: Sampler) {
        self.sampler = sampler
    }

    /// The app went to the background, where it may not use the GPU: stops the answer, a check and a load, and nothing new begins. What
    /// can't end by itself is cut short and done again in the foreground.
    public func background() {
        isInBackground = true
        if running == .answer, !isStopping { isCut = true }
        stopAnswer()
        cancelCheck()
        loading?.cancel()
        if running == .encode || running == .answer { worker?.cancel() }
        changed()
    }

    /// The app is in the foreground again: continues a load, loads a freed model again and restores the conversation.
    public func foreground() {
        isInBackground = false
        isReleased = false
        changed()
    }

    /// Frees the model if the app is in the background, and keeps the conversation.
    public func releaseMemory() {
        if isInBackground { isReleased = true }
        changed()
    }

    /// Returns once nothing is left to do.
    public func settle() async {
        while let worker { await worker.value }
    }

    private func forgetPicture() {
        newPicture = nil
        pixels = nil
        isToRefresh = false
        question = nil
        turns = []
        usedTokens = 0
        pictureNumber += 1
        epoch += 1
        stopAnswer()
    }

    private func cancelCheck() {
        check = nil
        checking?.cancel()
    }

    /// Keeps a load failure until loading is tried again.
    private func forgetProblem() {
        if !hasFailedToLoad { problem = nil }
    }

    private func restart(_ kept: [ChatTurn]) {
        forgetProblem()
        if kept == turns { return }
        turns = kept
        isToRefresh = pixels != nil
        epoch += 1
        stopAnswer()
    }

    private func stopAnswer() {
        if running == .answer { isStopping = true }
    }

    private func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }

    // MARK: - the worker

    private func changed() {
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
    private var isAnswering: Bool {
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
