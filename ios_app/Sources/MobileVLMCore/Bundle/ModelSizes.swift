/// The model sizes that a phone needs, from the manifest's `model` (the published `config.json` keys).
public struct ModelSizes: Sendable, Equatable {
    /// Tokens of the vocabulary.
    public let vocabSize: Int
    /// Width of a token's embedding.
    public let hiddenSize: Int
    /// Side of the vision encoder's square, in pixels.
    public let imageSize: Int
    /// Tokens of an image in the prompt: one for each patch, or for two by two if the projector pools them.
    public let imageTokens: Int
}

/// The published keys that are checked; missing keys have transformers' defaults.
struct ModelConfig: Decodable {
    struct Tower: Decodable {
        let image_size: Int?
        let patch_size: Int?
        let hidden_size: Int?
        let intermediate_size: Int?
        let num_hidden_layers: Int?
        let num_attention_heads: Int?
        let hidden_act: String?
        let image_mean: [Double]?
        let image_std: [Double]?
    }

    let vocab_size: Int
    let hidden_size: Int
    let intermediate_size: Int
    let num_hidden_layers: Int
    let num_attention_heads: Int
    let num_key_value_heads: Int?
    let max_position_embeddings: Int?
    let bos_token_id: Int?
    let eos_token_id: Int?
    let hidden_act: String?
    let rope_scaling: JSONValue?
    let mm_projector_type: String
    let mm_vision_select_layer: Int?
    let mm_vision_select_feature: String?
    let image_aspect_ratio: String?
    let vision_config: Tower

    /// - Throws: `BundleError` for a size that no supported model has; errors refer to the manifest as `name`.
    func checked(name: String) throws(BundleError) -> ModelSizes {
        func require(_ isGood: Bool, _ key: String, _ got: Any, _ expected: String) throws(BundleError) {
            if !isGood { throw BundleError("\(name): model.\(key): got \(got), expected \(expected)") }
        }
        let tower = vision_config
        let heads = num_attention_heads, keyValueHeads = num_key_value_heads ?? heads
        let side = tower.image_size ?? 224, patch = tower.patch_size ?? 32
        let width = tower.hidden_size ?? 768, towerHeads = tower.num_attention_heads ?? 12
        let layers = tower.num_hidden_layers ?? 12
        for (key, size) in [
            ("vocab_size", vocab_size), ("hidden_size", hidden_size), ("intermediate_size", intermediate_size),
            ("num_hidden_layers", num_hidden_layers), ("num_attention_heads", heads), ("num_key_value_heads", keyValueHeads),
            ("max_position_embeddings", max_position_embeddings ?? 2048), ("vision_config.image_size", side),
            ("vision_config.patch_size", patch), ("vision_config.hidden_size", width),
            ("vision_config.num_hidden_layers", layers),
            ("vision_config.intermediate_size", tower.intermediate_size ?? 3072),
            ("vision_config.num_attention_heads", towerHeads),
        ] {
            try require((1...Int(Int32.max)).contains(size), key, size, "a positive number")
        }
        try require(hidden_size % heads == 0, "hidden_size", hidden_size, "a multiple of \(heads) heads")
        try require(hidden_size / heads % 2 == 0, "hidden_size", hidden_size, "heads of an even width, because RoPE turns pairs")
        try require(heads % keyValueHeads == 0, "num_key_value_heads", keyValueHeads, "a divisor of \(heads) heads")
        for (key, id) in [("bos_token_id", bos_token_id ?? 1), ("eos_token_id", eos_token_id ?? 2)] {
            try require((0..<vocab_size).contains(id), key, id, "an id below \(vocab_size)")
        }
        for (key, got, published) in [
            ("mm_vision_select_feature", mm_vision_select_feature ?? "patch", "patch"),
            ("image_aspect_ratio", image_aspect_ratio ?? "pad", "pad"),
            ("hidden_act", hidden_act ?? "silu", "silu"),
            ("vision_config.hidden_act", tower.hidden_act ?? "quick_gelu", "quick_gelu"),
        ] {
            try require(got == published, key, "'\(got)'", "'\(published)'")
        }
        try require(rope_scaling == nil, "rope_scaling", "a value", "none")
        guard let pools = Self.pooledPatches(mm_projector_type) else {
            throw BundleError(
                "\(name): model.mm_projector_type: got '\(mm_projector_type)', expected ldpnetv2, ldpnet, linear or mlp2x_gelu")
        }
        try require(
            side.isMultiple(of: pools * patch), "vision_config.image_size", side,
            "a multiple of \(pools * patch): of \(pools) patches of \(patch), which the projector pools along a side")
        try require(width % towerHeads == 0, "vision_config.hidden_size", width, "a multiple of \(towerHeads) heads")
        let select = mm_vision_select_layer ?? -2
        let run = select < 0 ? layers + 1 + select : select
        try require((1...layers).contains(run), "mm_vision_select_layer", select, "a hidden state of \(layers) layers")
        let pooled = side / patch / pools
        return ModelSizes(vocabSize: vocab_size, hiddenSize: hidden_size, imageSize: side, imageTokens: pooled * pooled)
    }

    /// Patches along a side of the image that become one token, by the published type of projector.
    private static func pooledPatches(_ projector: String) -> Int? {
        switch projector {
        case "ldpnetv2", "ldpnet": 2
        case "linear": 1
        default: (1...9).contains { projector == "mlp\($0)x_gelu" } ? 1 : nil
        }
    }
}
