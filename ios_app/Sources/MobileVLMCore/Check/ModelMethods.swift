/// The program's methods one by one, for a record of what each stage gives. They have a KV cache of their own, or take the engine's.
public protocol ModelMethods: Sendable {
    /// `pixels`, uint8 [3, S, S] → image embeddings [tokens, D], flat.
    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float]

    /// `ids` [T] → [T, D], flat.
    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float]

    /// `embeds` [T, D], flat, the first at `position` → logits [V] of the last; T is at most the engine's `chunk`.
    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float]
}
