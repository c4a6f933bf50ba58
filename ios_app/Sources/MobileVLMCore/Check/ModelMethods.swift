/// Calls the program's methods one by one, to record each stage's results. They have their own KV cache or use the engine's.
public protocol ModelMethods: Sendable {
    /// `pixels`, uint8 [3, S, S] → image embeddings [tokens, D], flat.
    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float]

    /// `ids` [T] → [T, D], flat.
    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float]

    /// `embeds` [T, D], flat, the first at `position` → logits [V] of the last; T is at most the engine's `chunk`.
    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float]
}
