/// The question leaves too little room for an answer.
struct ContextFullError: Error {}

/// A finished answer.
struct Answer: Sendable, Equatable {
    let text: String
    let tokenIDs: [Int32]
    let ended: Ended
}

/// The conversation about one picture as it is in the engine's KV cache.
///
/// It mirrors the cached rows, compares them with the rows a conversation needs, and feeds only the difference: a follow-up
/// feeds what is new, an undo nothing, and a restart after an error everything.
struct Conversation: Sendable {
    /// The least room, in tokens, for which an answer is begun.
    static let minAnswerTokens = 16

    private let model: LoadedModel
    private let prompt: Prompt
    private var cached = [PromptRow]()
    private var pixels = [UInt8]()
    private var isSeen = false  // the engine has the image's embeddings

    init(_ model: LoadedModel) {
        self.model = model
        prompt = Prompt(model.manifest.prompt)
    }

    /// Whether the engine has encoded the image.
    var hasPicture: Bool { isSeen }

    /// Tokens in the KV cache.
    var position: Int { cached.count }

    /// Encodes the image `pixels` and feeds everything before the first question.
    mutating func encodeImage(_ pixels: [UInt8], isolation: isolated (any Actor)? = #isolation) async throws {
        self.pixels = pixels
        isSeen = false
        // The rows before the image stay.
        cached = Array(cached.prefix(beforeQuestion().count - model.manifest.image.tokens))
        try await fit(beforeQuestion())
    }

    /// After an error: everything is fed again when needed.
    mutating func lose() {
        cached = []
        isSeen = false
    }

    /// Feeds the conversation `turns`, so that a question can be answered at once.
    mutating func restore(_ turns: [ChatTurn], isolation: isolated (any Actor)? = #isolation) async throws {
        try await fit(try rows(turns))
    }

    /// Answers `question` after `turns`, with at most `maxNewTokens` tokens or the remaining context.
    ///
    /// - Parameters:
    ///   - isStopped: asked after each token
    ///   - show: receives the answer so far
    /// - Throws: `ContextFullError` if fewer than `minAnswerTokens` tokens remain, and `PromptError`, before anything has run; what the
    ///   engine throws.
    mutating func answer(
        _ turns: [ChatTurn], _ question: String, maxNewTokens: Int, by sampler: inout Sampler,
        isolation: isolated (any Actor)? = #isolation, isStopped: () -> Bool, show: (String) -> Void
    ) async throws -> Answer {
        let wanted = try rows(turns) + asked(question, isFirst: turns.isEmpty)
        let room = model.manifest.maxContext - wanted.count
        guard room >= min(Self.minAnswerTokens, maxNewTokens) else { throw ContextFullError() }
        let most = min(room, maxNewTokens)
        // The last chunk, of at least one row, yields the first token.
        let last = (wanted.count - 1) / model.chunk * model.chunk
        sampler.pieces = model.tokenizer.count
        try await fit(Array(wanted[..<min(max(last, commonLength(wanted)), wanted.count - 1)]))
        var next = try await choose(Array(wanted[cached.count...]), by: &sampler)
        var stream = TextStream(hiding: model.tokenizer.specials), text = "", ids = [Int32]()
        while true {
            if model.manifest.prompt.stopIDs.contains(next) {
                return Answer(text: text + stream.finish(), tokenIDs: ids, ended: .complete)
            }
            ids.append(next)
            let shown = stream.add(model.tokenizer.piece(next))
            text += shown
            if !shown.isEmpty { show(text) }
            let isCut = isStopped()
            if isCut || ids.count == most {
                return Answer(text: text + stream.finish(), tokenIDs: ids, ended: isCut ? .stopped : .length)
            }
            next = try await choose([.token(next)], by: &sampler)
        }
    }

    // MARK: - rows

    private func beforeQuestion() -> [PromptRow] {
        let spec = model.manifest.prompt
        return [.token(spec.bosID)] + tokens(spec.beforeImage) + (0..<model.manifest.image.tokens).map { .image($0) }
    }

    /// The rows of the whole conversation, each answer followed by a stop token.
    private func rows(_ turns: [ChatTurn]) throws -> [PromptRow] {
        var rows = beforeQuestion()
        for (index, turn) in turns.enumerated() {
            rows += try asked(turn.question, isFirst: index == 0)
            rows += turn.tokenIDs.map { .token($0) }
            rows.append(.token(model.manifest.prompt.stopIDs[0]))
        }
        return rows
    }

    private func asked(_ question: String, isFirst: Bool) throws -> [PromptRow] {
        tokens(isFirst ? try prompt.afterImage(question) : try prompt.followUp(question))
    }

    private func tokens(_ text: String) -> [PromptRow] { model.tokenizer.encode(text).map { .token($0) } }

    // MARK: - the KV cache

    /// How many rows of `wanted` are already cached.
    private func commonLength(_ wanted: [PromptRow]) -> Int {
        zip(cached, wanted).prefix { $0 == $1 }.count
    }

    /// Makes the KV cache hold exactly `wanted`.
    private mutating func fit(_ wanted: [PromptRow], isolation: isolated (any Actor)? = #isolation) async throws {
        if !isSeen {
            try await model.engine.encodeImage(pixels)
            isSeen = true
        }
        var fed = Array(wanted[..<commonLength(wanted)])
        cached = []  // until the engine has returned
        while fed.count < wanted.count {
            let part = Array(wanted[fed.count..<min(fed.count + model.chunk, wanted.count)])
            try await model.engine.prefill(part, at: fed.count)
            fed += part
        }
        cached = fed
    }

    private mutating func choose(
        _ rows: [PromptRow], by sampler: inout Sampler, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Int32 {
        let fed = cached
        cached = []
        let token = try await model.engine.next(rows, at: fed.count, by: &sampler)
        cached = fed + rows
        return token
    }
}
