/// How to call the Core ML programs, from the manifest's `artifacts.coreml`; `docs/reference/coreml.md` describes them.
public struct CoreMLSpec: Sendable, Equatable {
    /// The float type of a program's inputs, outputs and computation.
    public enum FloatType: String, Sendable, CaseIterable {
        case fp16, fp32
    }

    /// How the rows of the embedding table are packed, as `TokenTable` reads them.
    public enum TableForm: String, Sendable, CaseIterable {
        case fp32, int8, int4
    }

    /// The hardware that may run a program, with Core ML's names.
    public enum ComputeUnits: String, Codable, Sendable, CaseIterable {
        case cpuOnly, cpuAndGPU, cpuAndNeuralEngine, all
    }

    /// Paths in the bundle: two packages and a table.
    public let visionEncoder: String
    public let textDecoder: String
    public let tokenEmbedding: String
    public let tableForm: TableForm
    /// Of the vision encoder's `features`.
    public let featuresType: FloatType
    /// Of `image_embeddings` and `embeds`.
    public let embedsType: FloatType
    /// Of `logits`.
    public let logitsType: FloatType
    /// Embeddings per call of `prefill`.
    public let prefillChunk: Int
    /// Tokens of a conversation; the KV cache has room for a full chunk at the last of them.
    public let maxContext: Int
    /// Positions of the KV cache.
    public let cachePositions: Int
    /// The default hardware for the programs.
    public let computeUnits: ComputeUnits
}

/// `artifacts.coreml` as decoded.
struct CoreMLArtifact: Decodable {
    struct Package: Decodable {
        let package: String
    }

    struct Table: Decodable {
        let file: String
        let form: String
    }

    struct Types: Decodable {
        let vision: String
        let llm: String
        /// Missing in manifests from before the output head had its own type.
        let lm_head: String?
    }

    let vision_encoder: Package
    let text_decoder: Package
    let token_embedding: Table
    let types: Types
    let max_context: Int
    let prefill_chunk: Int
    let cache_positions: Int
    let compute_units: String

    /// Every path that a reader opens, with its field's name.
    var named: [(field: String, path: String)] {
        [
            ("artifacts.coreml.vision_encoder", "\(vision_encoder.package)/Manifest.json"),
            ("artifacts.coreml.text_decoder", "\(text_decoder.package)/Manifest.json"),
            ("artifacts.coreml.token_embedding", token_embedding.file),
        ]
    }

    /// - Throws: `BundleError` for unknown or inconsistent values; errors refer to the manifest as `name`.
    func checked(maxContext: Int, name: String) throws(BundleError) -> CoreMLSpec {
        func fail(_ field: String, _ got: Any, _ expected: String) -> BundleError {
            BundleError("\(name): artifacts.coreml.\(field): got \(got), expected \(expected)")
        }
        func choice<Value: RawRepresentable & CaseIterable>(_ field: String, _ got: String) throws(BundleError) -> Value
        where Value.RawValue == String {
            if let value = Value(rawValue: got) { return value }
            throw fail(field, "'\(shown(got))'", Value.allCases.map(\.rawValue).joined(separator: " or "))
        }
        // Larger values could overflow in sums, and no model has them.
        guard (maxContext...1 << 24).contains(max_context) else {
            throw fail("max_context", max_context, "at least the context of \(maxContext)")
        }
        guard (2...max_context).contains(prefill_chunk) else {
            throw fail("prefill_chunk", prefill_chunk, "2 to the context of \(max_context)")
        }
        let least = max_context + prefill_chunk - 1
        guard cache_positions >= least else {
            throw fail("cache_positions", cache_positions, "at least \(least): room for a chunk at the last position")
        }
        return CoreMLSpec(
            visionEncoder: vision_encoder.package, textDecoder: text_decoder.package, tokenEmbedding: token_embedding.file,
            tableForm: try choice("token_embedding.form", token_embedding.form),
            featuresType: try choice("types.vision", types.vision),
            embedsType: try choice("types.llm", types.llm),
            logitsType: try choice("types.lm_head", types.lm_head ?? types.llm),
            prefillChunk: prefill_chunk, maxContext: max_context, cachePositions: cache_positions,
            computeUnits: try choice("compute_units", compute_units))
    }
}
