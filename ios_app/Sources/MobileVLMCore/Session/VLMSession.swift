import Foundation

/// A bundle, a picture and a conversation about it: the state that one screen shows.
///
/// What the user wants is noted at once; one worker brings it about, step after step: load, look, answer. A new wish overtakes those that
/// haven't begun and stops the answer that it makes idle. So whatever comes in whatever order, the session ends where the last wish points.
public actor VLMSession {
    public typealias Load = @Sendable (URL, @escaping @Sendable (Double) -> Void) async throws -> LoadedModel

    /// The longest answer, in tokens, unless asked otherwise.
    public static let maxNewTokens = 256

    private enum Step { case unload, load, look, answer }

    private struct Question {
        let text: String
        let maxNewTokens: Int
    }

    private let load: Load
    private let listener: @Sendable (SessionState) -> Void
    private let now: @Sendable () -> Duration

    // What is wanted.
    private var wanted: URL?
    private var newPicture: Picture?
    private var isToRefresh = false  // put the conversation back into the KV cache
    private var question: Question?
    private var turns = [ChatTurn]()
    private var isInBackground = false
    private var isReleased = false
    private var sampler = Sampler.greedy

    // What is.
    private var model: LoadedModel?
    private var conversation: Conversation?
    private var pixels: [UInt8]?
    private var running: Step?
    private var worker: Task<Void, Never>?
    private var loading: Task<LoadedModel, any Error>?
    private var hasFailedToLoad = false
    private var isStopping = false
    private var loadProgress = 0.0
    private var imageSeconds = 0.0
    private var usedTokens = 0
    private var problem: Problem?

    // What began with another picture, or in another conversation, doesn't touch the state any more.
    private var pictures = 0
    private var epoch = 0

    /// The newest state.
    public private(set) var state = SessionState()

    /// - Parameters:
    ///   - load: verifies and loads the bundle in a folder (`ModelLoader.load`), telling the share that is verified
    ///   - now: a clock that never goes back
    ///   - listener: given every new state in order; it must only hand it on
    public init(
        load: @escaping Load, now: @escaping @Sendable () -> Duration = monotonicNow,
        listener: @escaping @Sendable (SessionState) -> Void
    ) {
        self.load = load
        self.now = now
        self.listener = listener
    }

    // MARK: - wishes

    /// Uses the bundle in `folder` from now on; picture and conversation of another bundle are forgotten.
    public func open(_ folder: URL) {
        if folder == wanted, !hasFailedToLoad { return }
        if folder != wanted { forgetPicture() }
        wanted = folder
        hasFailedToLoad = false
        problem = nil
        loading?.cancel()
        changed()
    }

    /// Forgets bundle, picture and conversation, and frees the model; also while it loads.
    public func close() {
        forgetPicture()
        wanted = nil
        hasFailedToLoad = false
        isReleased = false
        problem = nil
        loading?.cancel()
        changed()
    }

    /// A new picture, with a `question` about it or none yet: it is encoded while the user types.
    public func show(_ picture: Picture, question: String? = nil, maxNewTokens: Int = maxNewTokens) {
        forgetPicture()
        newPicture = picture
        problem = nil
        if let question, !isBlank(question) { self.question = Question(text: question, maxNewTokens: maxNewTokens) }
        changed()
    }

    /// Forgets the picture and what was said about it.
    public func clear() {
        forgetPicture()
        problem = nil
        changed()
    }

    /// Asks `question` about the picture, once it is encoded. False, and nothing happens, if it is blank, without a picture, or another is
    /// under way.
    @discardableResult
    public func ask(_ question: String, maxNewTokens: Int = maxNewTokens) -> Bool {
        let hasPicture = newPicture != nil || pixels != nil
        guard !isBlank(question), hasPicture, self.question == nil, running != .answer, maxNewTokens >= 1 else { return false }
        problem = nil
        self.question = Question(text: question, maxNewTokens: maxNewTokens)
        changed()
        return true
    }

    /// Ends the answer that is coming, after its current token, or takes back the question that waits.
    public func stop() {
        question = nil
        stopAnswer()
        changed()
    }

    /// Takes back the last question and its answer.
    public func undo() {
        if question != nil {
            question = nil
        } else if !turns.isEmpty {
            restart(turns.dropLast())
        }
        changed()
    }

    /// Begins anew about the same picture, with the whole context free.
    public func newChat() {
        question = nil
        restart([])
        changed()
    }

    /// Tries again what failed: loading the bundle, or encoding the picture.
    public func retry() {
        hasFailedToLoad = false
        if pixels != nil { isToRefresh = true }
        problem = nil
        changed()
    }

    /// How tokens are chosen from the next answer on.
    public func choose(by sampler: Sampler) {
        self.sampler = sampler
    }

    /// The app isn't seen any more: the answer is stopped, and nothing new begins but loading.
    public func background() {
        isInBackground = true
        stopAnswer()
        changed()
    }

    /// The app is seen again. A model that was released is loaded again, and the conversation put back.
    public func foreground() {
        isInBackground = false
        isReleased = false
        changed()
    }

    /// Frees the model if the app is in the background; the conversation is kept.
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
        pictures += 1
        epoch += 1
        stopAnswer()
    }

    private func restart(_ kept: [ChatTurn]) {
        problem = nil
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

    // MARK: - steps

    private func changed() {
        publish()
        if worker == nil, nextStep() != nil { worker = Task { await work() } }
    }

    private func nextStep() -> Step? {
        if let model {
            if model.folder != wanted || isReleased { return .unload }
            if isInBackground { return nil }
            if newPicture != nil || isToRefresh { return .look }
            return question != nil && pixels != nil ? .answer : nil
        }
        return wanted != nil && !hasFailedToLoad && !isReleased ? .load : nil
    }

    private func work() async {
        while let step = nextStep() {
            isStopping = false
            running = step
            switch step {
            case .unload:
                model = nil
                conversation = nil
                usedTokens = 0
            case .load: await loadModel()
            case .look: await look()
            case .answer: await answer()
            }
            running = nil
            publish()
        }
        worker = nil
    }

    private func loadModel() async {
        guard let folder = wanted else { return }
        loadProgress = 0
        let task = Task { [load] in
            try await load(folder) { share in Task { await self.verified(share, of: folder) } }
        }
        loading = task
        publish()
        defer { loading = nil }
        do {
            let loaded = try await task.value
            if task.isCancelled { return }
            model = loaded
            conversation = Conversation(loaded)
            isToRefresh = pixels != nil  // a conversation from before is put back
        } catch {
            guard wanted == folder, !task.isCancelled else { return }  // another wish came; the next step sees it
            hasFailedToLoad = true
            problem =
                switch error {
                case let error as BundleError: .bundle(error.message)
                case let error as MemoryError: .memory(needed: error.neededBytes, available: error.availableBytes)
                default: .engine(line(error))
                }
        }
    }

    private func verified(_ share: Double, of folder: URL) {
        guard running == .load, wanted == folder, share > loadProgress else { return }
        loadProgress = share
        publish()
    }

    private func look() async {
        guard var talk = conversation, let spec = model?.manifest.image else { return }
        let began = now(), mine = epoch, about = pictures
        let picture = newPicture
        newPicture = nil
        isToRefresh = false
        publish()
        do {
            if let picture {
                let square = await Self.square(picture, spec)
                guard pictures == about else { return }
                pixels = square
            }
            guard let pixels else { return }
            if picture != nil || !talk.hasPicture { try await talk.look(pixels) }
            try await talk.restore(history())
            conversation = talk
            guard epoch == mine else { return }
            usedTokens = talk.position
            imageSeconds = seconds(since: began)
        } catch {
            talk.lose()
            conversation = talk
            guard epoch == mine else { return }
            problem = .engine(line(error))
            question = nil
        }
    }

    private nonisolated static func square(_ picture: Picture, _ spec: ImageSpec) async -> [UInt8] {
        var square = SquarePixels(spec)
        return square.pixels(of: picture)
    }

    private func answer() async {
        guard var talk = conversation, let asked = question else { return }
        let began = now(), mine = epoch
        let history = history()
        question = nil
        turns.append(ChatTurn(question: asked.text))
        publish()
        var first: Duration?, last = began
        do {
            var sampler = sampler
            let answered = try await talk.answer(
                history, asked.text, maxNewTokens: asked.maxNewTokens, by: &sampler, isStopped: { self.isStopping }
            ) { text in
                last = now()
                if first == nil { first = last }
                changeLastTurn(mine) { $0.answer = text }
            }
            conversation = talk
            self.sampler = sampler
            guard epoch == mine else { return }
            usedTokens = talk.position
            let decoding = first.map { (last - $0).inSeconds } ?? 0
            let stats = AnswerStats(
                imageSeconds: imageSeconds, firstTokenSeconds: first.map { ($0 - began).inSeconds } ?? 0,
                tokens: answered.tokenIDs.count,
                tokensPerSecond: decoding > 0 ? Double(answered.tokenIDs.count - 1) / decoding : 0)
            imageSeconds = 0
            changeLastTurn(mine) { turn in
                turn.answer = answered.text
                turn.tokenIDs = answered.tokenIDs
                turn.ended = answered.ended
                turn.stats = stats
            }
        } catch is ContextFullError {
            refuse(mine, .contextFull(question: asked.text))
        } catch let error as PromptError {
            refuse(mine, .input(error.message))
        } catch {
            talk.lose()
            conversation = talk
            guard epoch == mine else { return }
            problem = .engine(line(error))
            question = nil
            changeLastTurn(mine) { $0.ended = .failed }
        }
    }

    /// The question that began in the epoch `mine` was never asked.
    private func refuse(_ mine: Int, _ why: Problem) {
        guard epoch == mine else { return }
        turns.removeLast()
        problem = why
    }

    private func changeLastTurn(_ mine: Int, _ change: (inout ChatTurn) -> Void) {
        guard epoch == mine, !turns.isEmpty else { return }
        change(&turns[turns.count - 1])
        publish()
    }

    /// What was said; an answer that failed wasn't.
    private func history() -> [ChatTurn] { turns.filter { $0.ended != .failed } }

    private func seconds(since began: Duration) -> Double { (now() - began).inSeconds }

    private func line(_ error: any Error) -> String {
        if let error = error as? any MobileVLMError { return error.message }
        return "engine: \("\(error)".split(whereSeparator: \.isNewline).first.map(String.init) ?? "failed")"
    }

    // MARK: - state

    private var phase: Phase {
        if wanted == nil { return .idle }
        guard let model, model.folder == wanted, running != .unload else {
            if model == nil, isReleased { return .suspended }
            return model == nil && hasFailedToLoad ? .failed : .loading
        }
        if running == .answer, let turn = turns.last, turn.ended == nil { return .answering }
        if newPicture != nil || isToRefresh || running == .look { return .looking }
        return pixels == nil ? .ready : .seen
    }

    private func publish() {
        var new = SessionState()
        new.phase = phase
        new.bundle = wanted?.deletingPathExtension().lastPathComponent
        new.loadProgress = running == .load ? loadProgress : 0
        new.turns = turns
        new.waitingQuestion = question?.text
        new.usedTokens = usedTokens
        new.maxTokens = model?.manifest.maxContext ?? 0
        new.problem = problem
        if new == state { return }
        state = new
        listener(new)
    }
}

/// Time since some moment, which never goes back.
@Sendable public func monotonicNow() -> Duration {
    ContinuousClock.now - started
}

private let started = ContinuousClock.now

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
