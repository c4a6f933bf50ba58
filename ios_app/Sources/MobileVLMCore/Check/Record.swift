import Foundation

/// A tensor's `shape`, Euclidean `norm`, and 64 `values` at the flat indices `i * size / 64`.
public struct Sketch: Codable, Sendable, Equatable {
    static let count = 64

    public let shape: [Int]
    public let norm: Double
    public let values: [Double]

    /// From the flat `tensor` of shape `shape`; values rounded to six digits.
    ///
    /// - Precondition: `tensor` isn't empty and matches `shape`.
    public init(of tensor: [Float], shape: [Int]) {
        precondition(!tensor.isEmpty && tensor.count == shape.reduce(1, *), "got \(tensor.count) values for the shape \(shape)")
        self.shape = shape
        norm = rounded(tensor.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot())
        values = (0..<Self.count).map { rounded(Double(tensor[$0 * tensor.count / Self.count])) }
    }
}

/// The ten largest logits, largest first, and their token ids.
public struct TopLogits: Codable, Sendable, Equatable {
    static let count = 10

    public let tokenIDs: [Int32]
    public let values: [Double]

    enum CodingKeys: String, CodingKey {
        case tokenIDs = "token_ids"
        case values
    }

    /// Of `logits`, one for each token of the vocabulary.
    public init(of logits: [Float]) {
        let largest = logits.indices.sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }.prefix(Self.count)
        tokenIDs = largest.map { Int32($0) }
        values = largest.map { rounded(Double(logits[$0])) }
    }
}

/// The stage-by-stage results of one question: a golden record, or a phone's capture. Same fields as Python's `Record`
/// (`docs/reference/bundle-format.md`).
public struct Record: Codable, Sendable, Equatable {
    public var question: String
    public var maxNewTokens: Int
    public var pixelsSHA256: String
    public var idsBeforeImage: [Int32]
    public var idsAfterImage: [Int32]
    public var imageEmbedding: Sketch
    public var firstLogits: TopLogits
    public var answer: String
    /// Nil if the engine reports only text.
    public var answerIDs: [Int32]?
    /// `eos`, `length` or `stopped`.
    public var stopReason: String

    enum CodingKeys: String, CodingKey {
        case question, answer
        case maxNewTokens = "max_new_tokens"
        case pixelsSHA256 = "pixels_sha256"
        case idsBeforeImage = "ids_before_image"
        case idsAfterImage = "ids_after_image"
        case imageEmbedding = "image_embedding"
        case firstLogits = "first_logits"
        case answerIDs = "answer_ids"
        case stopReason = "stop_reason"
    }
}

extension Ended {
    /// The name in records.
    var reason: String {
        switch self {
        case .complete: "eos"
        case .length: "length"
        case .stopped, .failed: "stopped"
        }
    }
}

/// `value` to six digits, as Python's `%.6g` rounds.
private func rounded(_ value: Double) -> Double { Double(String(format: "%.6g", value)) ?? value }
