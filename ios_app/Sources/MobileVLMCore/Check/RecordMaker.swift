import Foundation

/// Token ids of a first question.
struct PromptIDs {
    let before: [Int32]
    let after: [Int32]

    /// - Throws: `PromptError` if the question is empty.
    init(_ model: LoadedModel, question: String) throws(PromptError) {
        let spec = model.manifest.prompt
        before = [spec.bosID] + model.tokenizer.encode(spec.beforeImage)
        after = model.tokenizer.encode(try Prompt(spec).afterImage(question))
    }
}

/// Makes the record of an answer to a first question for a capture: each stage is run again with its method.
struct RecordMaker: Sendable {
    let model: LoadedModel
    let methods: any ModelMethods

    /// The record of `question` about `pixels` (uint8 [3, S, S]), which the engine answered with `answered`.
    ///
    /// - Throws: what the methods throw; `EngineError` if they return too few or too many values; `PromptError`.
    func make(_ pixels: [UInt8], question: String, maxNewTokens: Int, _ answered: Answer) async throws -> Record {
        let ids = try PromptIDs(model, question: question)
        let tokens = model.manifest.image.tokens, width = model.manifest.sizes.hiddenSize
        let image = try await values(tokens * width, of: "vision_encoder") { try await methods.visionEncoder(pixels) }
        let embeds = try await embeds(ids.before) + image + embeds(ids.after)
        return Record(
            question: question,
            maxNewTokens: maxNewTokens,
            pixelsSHA256: SHA256Digest.hex(of: pixels),
            idsBeforeImage: ids.before,
            idsAfterImage: ids.after,
            imageEmbedding: Sketch(of: image, shape: [1, tokens, width]),
            firstLogits: TopLogits(of: try await prefill(embeds, width)),
            answer: answered.text,
            answerIDs: answered.tokenIDs,
            stopReason: answered.ended.reason)
    }

    private func embeds(_ ids: [Int32]) async throws -> [Float] {
        try await values(ids.count * model.manifest.sizes.hiddenSize, of: "token_embedding") {
            try await methods.tokenEmbedding(ids)
        }
    }

    /// Logits after `embeds`, in calls of at most the engine's chunk.
    private func prefill(_ embeds: [Float], _ width: Int) async throws -> [Float] {
        var logits = [Float]()
        for at in stride(from: 0, to: embeds.count, by: model.chunk * width) {
            let part = Array(embeds[at..<min(at + model.chunk * width, embeds.count)])
            logits = try await values(model.manifest.sizes.vocabSize, of: "text_decoder") {
                try await methods.textDecoder(part, at: at / width)
            }
        }
        return logits
    }

    private func values(_ count: Int, of method: String, _ run: () async throws -> [Float]) async throws -> [Float] {
        let values = try await run()
        guard values.count == count else { throw EngineError("\(method): got \(values.count) values, expected \(count)") }
        return values
    }
}
