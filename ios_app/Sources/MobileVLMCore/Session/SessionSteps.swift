import Foundation

/// The worker's steps that carry out requests. Each step takes its input when it begins; its result counts only for the
/// picture and conversation it began with.
extension VLMSession {
    func run(_ step: Step) async {
        switch step {
        case .unload: unload()
        case .load: await loadModel()
        case .check: await runCheck()
        case .encode: await encode()
        case .answer: await answer()
        }
    }

    private func unload() {
        model = nil
        conversation = nil
        usedTokens = 0
    }

    private func loadModel() async {
        guard let folder = requestedBundle else { return }
        let startCount = openCount, regardless = isRegardless
        verified = 0
        let task = Task { [load] in
            try await load(folder, regardless) { share in Task { await self.onVerified(share, of: folder) } }
        }
        loading = task
        publish()
        defer { loading = nil }
        do {
            let loaded = try await task.value
            if task.isCancelled { return }
            model = loaded
            conversation = Conversation(loaded)
            isToRefresh = pixels != nil  // an earlier conversation is restored
        } catch is CancellationError {
            // The background came; it is loaded again in the foreground.
        } catch {
            // Another request came; the next step handles it. A bundle opened again may have changed, and is loaded again.
            guard openCount == startCount, !task.isCancelled else { return }
            hasFailedToLoad = true
            problem =
                switch error {
                case let error as BundleError: .bundle(error.message)
                case let error as MemoryError: .memory(needed: error.neededBytes, available: error.availableBytes)
                default: .engine(Self.line(error))
                }
        }
    }

    private func onVerified(_ share: Double, of folder: URL) {
        guard running == .load, requestedBundle == folder, share > verified else { return }
        verified = share
        publish()
    }

    private func runCheck() async {
        guard let work = check, let checked = model else { return }
        check = nil
        let task = Task { try await work(checked) }
        checking = task
        publish()
        let result = await task.result
        checking = nil
        usedTokens = 0
        model = checked.isReleased ? nil : checked
        conversation = model.map { Conversation($0) }
        isToRefresh = pixels != nil
        if case .failure(let error) = result, !task.isCancelled { problem = .check(Self.line(error)) }
    }

    private func encode() async {
        guard var current = conversation, let spec = model?.manifest.image else { return }
        let began = now(), startEpoch = epoch, startPicture = pictureNumber
        let picture = newPicture
        newPicture = nil
        isToRefresh = false
        if picture != nil { resizing = startPicture }
        publish()
        do {
            if let picture {
                let square = await Self.square(picture, spec)
                resizing = nil
                guard pictureNumber == startPicture else { return }
                pixels = square
            }
            guard let pixels else { return }
            if picture != nil || !current.hasPicture { try await current.encodeImage(pixels) }
            try await current.restore(history())
            conversation = current
            guard epoch == startEpoch else { return }
            usedTokens = current.position
            imageSeconds = (now() - began).inSeconds
        } catch is CancellationError {
            postpone(&current)
        } catch {
            lose(&current, startEpoch, error)
        }
    }

    private nonisolated static func square(_ picture: Picture, _ spec: ImageSpec) async -> [UInt8] {
        var square = SquarePixels(spec)
        return square.pixels(of: picture)
    }

    private func answer() async {
        guard var current = conversation, let asked = question else { return }
        let began = now(), startEpoch = epoch
        let history = history()
        question = nil
        turns.append(ChatTurn(question: asked.text))
        publish()
        var first: Duration?, last = began
        do {
            var sampler = sampler
            let answered = try await current.answer(
                history, asked.text, maxNewTokens: asked.maxNewTokens, by: &sampler, isStopped: { self.isStopping }
            ) { text in
                last = now()
                if first == nil { first = last }
                changeLastTurn(startEpoch) { $0.answer = text }
            }
            conversation = current
            self.sampler = sampler
            guard epoch == startEpoch else { return }
            usedTokens = current.position
            let decoding = first.map { (last - $0).inSeconds } ?? 0
            let stats = AnswerStats(
                imageSeconds: imageSeconds, firstTokenSeconds: first.map { ($0 - began).inSeconds } ?? 0,
                tokens: answered.tokenIDs.count,
                tokensPerSecond: decoding > 0 ? Double(answered.tokenIDs.count - 1) / decoding : 0)
            imageSeconds = 0
            changeLastTurn(startEpoch) { turn in
                turn.answer = answered.text
                turn.tokenIDs = answered.tokenIDs
                turn.ended = answered.ended
                turn.stats = stats
            }
        } catch is ContextFullError {
            refuse(startEpoch, .contextFull(question: asked.text))
        } catch let error as PromptError {
            refuse(startEpoch, .input(error.message))
        } catch is CancellationError {
            postpone(&current)
            guard epoch == startEpoch else { return }
            if isCut || !isStopping {
                turns.removeLast()
                question = asked
            } else {
                changeLastTurn(startEpoch) { $0.ended = .stopped }
            }
        } catch {
            lose(&current, startEpoch, error)
            changeLastTurn(startEpoch) { $0.ended = .failed }
        }
    }

    /// The background came between; the picture and the conversation are restored in the foreground.
    private func postpone(_ current: inout Conversation) {
        current.lose()
        conversation = current
        isToRefresh = pixels != nil
    }

    /// The engine failed and its KV cache is lost; it is fed again when needed. The problem is reported if `startEpoch` is current.
    private func lose(_ current: inout Conversation, _ startEpoch: Int, _ error: any Error) {
        current.lose()
        conversation = current
        guard epoch == startEpoch else { return }
        problem = .engine(Self.line(error))
        question = nil
    }

    /// Removes the question that began in `startEpoch`; it was never asked.
    private func refuse(_ startEpoch: Int, _ why: Problem) {
        guard epoch == startEpoch else { return }
        turns.removeLast()
        problem = why
    }

    private func changeLastTurn(_ startEpoch: Int, _ change: (inout ChatTurn) -> Void) {
        guard epoch == startEpoch, !turns.isEmpty else { return }
        change(&turns[turns.count - 1])
        publish()
    }

    /// The finished turns, without failed answers.
    private func history() -> [ChatTurn] { turns.filter { $0.ended != .failed } }

    static func line(_ error: any Error) -> String {
        if let error = error as? any MobileVLMError { return error.message }
        return "engine: \("\(error)".split(whereSeparator: \.isNewline).first.map(String.init) ?? "failed")"
    }
}
