import Foundation

/// A file of the bundle: its `path` inside, size in `bytes`, and `sha256` in hexadecimal.
public struct FileEntry: Decodable, Sendable, Equatable {
    public let path: String
    public let bytes: Int64
    public let sha256: String
}

/// The vision encoder's input: a square of `size` × `size` pixels that takes `tokens` tokens of the prompt.
public struct ImageSpec: Sendable, Equatable {
    public let size: Int
    public let tokens: Int
    /// 0xRRGGBB, beside a picture that isn't square.
    public let padColor: UInt32

    public init(size: Int, tokens: Int, padColor: UInt32) {
        self.size = size
        self.tokens = tokens
        self.padColor = padColor
    }
}

/// The conversation's texts; `afterImage` and `followUp` hold `{question}`.
public struct PromptSpec: Decodable, Sendable, Equatable {
    public let beforeImage: String
    public let afterImage: String
    public let followUp: String
    public let bosID: Int32
    public let stopIDs: [Int32]
    public let stopText: String

    enum CodingKeys: String, CodingKey {
        case beforeImage = "before_image"
        case afterImage = "after_image"
        case followUp = "follow_up"
        case bosID = "bos_id"
        case stopIDs = "stop_ids"
        case stopText = "stop_text"
    }
}

/// A bundle's `manifest.json`, read and checked: all that a phone must know of a model. `docs/reference/bundle-format.md` describes it.
public struct Manifest: Sendable, Equatable {
    /// SHA-256 of the manifest's bytes: what tells one bundle from another.
    public let id: String
    public let kitVersion: String
    public let sourceName: String
    public let sourceSHA256: String
    public let sizes: ModelSizes
    public let image: ImageSpec
    public let prompt: PromptSpec
    /// The SentencePiece model's path in the bundle.
    public let tokenizerModel: String
    /// What recognises the program of each backend, such as `coreml`: a path in the bundle.
    public let artifacts: [String: String]
    /// How the Core ML programs are driven; nil where the bundle has none.
    public let coreML: CoreMLSpec?
    /// How each part is quantized: `name`, `llm`, `vision`, `projector`, `embedding`.
    public let recipe: [String: String]
    /// Tokens of a conversation, the picture's included.
    public let maxContext: Int
    /// What a phone needs to run it.
    public let memoryBytes: Int64
    public let files: [FileEntry]

    /// Bytes of all files that the manifest lists.
    public var totalBytes: Int64 { files.reduce(0) { $0 + $1.bytes } }
}
