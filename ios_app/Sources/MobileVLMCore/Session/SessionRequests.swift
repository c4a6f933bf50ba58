import Foundation

/// What can be asked of a session. Each request is stored at once, and the worker told.
extension VLMSession {
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
        replace(picture)
        if let question, !isBlank(question) { self.question = Question(text: question, maxNewTokens: maxNewTokens) }
        changed()
        return pictureNumber
    }

    /// Restores a picture and the conversation `said` about it, such as after the system ended the app. Unfinished turns are dropped.
    public func resume(_ picture: Picture, said: [ChatTurn]) {
        replace(picture)
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

    private func replace(_ picture: Picture) {
        forgetPicture()
        cancelCheck()
        newPicture = picture
        forgetProblem()
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
}
