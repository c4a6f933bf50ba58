/// Speed and memory while running the golden records on this phone; medians over the records.
public struct Measurements: Encodable, Sendable, Equatable {
    /// Seconds to load the programs.
    public let loadSeconds: Double
    /// Seconds to encode an image and run it through the text decoder.
    public let imageEncodeSeconds: Double
    /// Seconds from the question to the answer's first token, with the image in the KV cache.
    public let prefillSeconds: Double
    /// Seconds from a new picture and question to the answer's first token.
    public let firstTokenSeconds: Double
    public let generatedTokens: Int
    /// Tokens per second after the first; 0 if no answer had two.
    public let tokensPerSecond: Double
    /// Peak memory of the app; 0 if the system doesn't report it.
    public let peakBytes: Int64
    public let thermalBefore: Thermal
    public let thermalAfter: Thermal

    /// The keys of `mvlm ask`, for a capture's `stats`.
    enum CodingKeys: String, CodingKey {
        case loadSeconds = "load_s"
        case imageEncodeSeconds = "image_encode_s"
        case prefillSeconds = "prefill_s"
        case firstTokenSeconds = "ttft_s"
        case generatedTokens = "generated_tokens"
        case tokensPerSecond = "decode_tok_s"
        case peakBytes = "peak_rss_bytes"
        case thermalBefore = "thermal_before"
        case thermalAfter = "thermal_after"
    }
}

/// The times of one answer.
struct AnswerTimes: Sendable {
    let imageSeconds: Double
    let asked: Duration
    private var first: Duration?
    private var last: Duration?
    private var tokens = 0

    init(imageSeconds: Double, asked: Duration) {
        self.imageSeconds = imageSeconds
        self.asked = asked
    }

    /// Text came at `now`.
    mutating func text(at now: Duration) {
        first = first ?? now
        last = now
    }

    /// The answer, of `tokens`, is complete.
    mutating func answered(tokens: Int) { self.tokens = tokens }

    var generatedTokens: Int { tokens }
    var prefillSeconds: Double? { first.map { ($0 - asked).inSeconds } }
    var tokensPerSecond: Double? {
        guard tokens > 1, let first, let last, last > first else { return nil }
        return Double(tokens - 1) / (last - first).inSeconds
    }
}

extension Measurements {
    init(_ times: [AnswerTimes], loadSeconds: Double, peakBytes: Int64, thermalBefore: Thermal, thermalAfter: Thermal) {
        self.loadSeconds = loadSeconds
        imageEncodeSeconds = median(times.map(\.imageSeconds))
        prefillSeconds = median(times.compactMap(\.prefillSeconds))
        firstTokenSeconds = imageEncodeSeconds + prefillSeconds
        generatedTokens = times.reduce(0) { $0 + $1.generatedTokens }
        tokensPerSecond = median(times.compactMap(\.tokensPerSecond))
        self.peakBytes = peakBytes
        self.thermalBefore = thermalBefore
        self.thermalAfter = thermalAfter
    }
}

private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}
