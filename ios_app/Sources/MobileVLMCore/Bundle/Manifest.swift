import Foundation

/// A file of the bundle: its `path` in the bundle, size in `bytes`, and `sha256` in hexadecimal.
public struct FileEntry: Decodable, Sendable, Equatable {
    public let path: String
    public let bytes: Int64
    public let sha256: String
}

/// The vision encoder's input: a square of `size` × `size` pixels that takes `tokens` tokens of the prompt.
public struct ImageSpec: Sendable, Equatable {
    public let size: Int
    public let tokens: Int
    /// 0xRRGGBB, the padding of an image that isn't square.
    public let padColor: UInt32

    public init(size: Int, tokens: Int, padColor: UInt32) {
        self.size = size
        self.tokens = tokens
        self.padColor = padColor
    }
}

/// The prompt template; `afterImage` and `followUp` contain `{question}`.
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

/// A bundle's `manifest.json`, parsed and validated: everything a phone needs to know about a model. `docs/reference/bundle-format.md` describes it.
public struct Manifest: Sendable, Equatable {
    /// SHA-256 of the manifest's bytes; identifies the bundle.
    public let id: String
    public let kitVersion: String
    public let sourceName: String
    public let sourceSHA256: String
    public let sizes: ModelSizes
    public let image: ImageSpec
    public let prompt: PromptSpec
    /// The SentencePiece model's path in the bundle.
    public let tokenizerModel: String
    /// Program files by backend, such as `coreml`, as paths in the bundle.
    public let artifacts: [String: String]
    /// How to call the Core ML programs; nil if the bundle has none.
    public let coreML: CoreMLSpec?
    /// How each part is quantized: `name`, `llm`, `vision`, `projector`, `embedding`.
    public let recipe: [String: String]
    /// Tokens of a conversation, including the image's.
    public let maxContext: Int
    /// Memory that a phone needs to run it.
    public let memoryBytes: Int64
    public let files: [FileEntry]

    /// Bytes of all files that the manifest lists.
    public var totalBytes: Int64 { files.reduce(0) { $0 + $1.bytes } }
}
