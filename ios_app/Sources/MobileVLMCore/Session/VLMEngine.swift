/// One row of the prompt: a token, or one of the image's embeddings.
public enum PromptRow: Sendable, Hashable {
    case token(Int32)
    case image(Int)
}

/// A loaded model with one KV cache: the interface between the core and what runs the programs (on an iPhone, Core ML).
///
/// Calls come one at a time. Rows may be rewritten at a used position: the old rows from there on are overwritten as
/// their positions are reached, and are never attended to before. After an error the KV cache is lost; the core then feeds it again.
public protocol VLMEngine: Sendable {
    /// The most rows that one call of `prefill` or `next` takes.
    var chunk: Int { get }

    /// Encodes `pixels`, uint8 [3, S, S], and keeps the image's embeddings for `.image` rows.
    func encodeImage(_ pixels: [UInt8]) async throws

    /// Puts `rows`, 1 to `chunk` of them, into the KV cache at `position`.
    func prefill(_ rows: [PromptRow], at position: Int) async throws

    /// Like `prefill`, then returns the token that `sampler` chooses from the logits after the last row.
    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32
}
