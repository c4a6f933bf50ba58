import Foundation

/// Chooses the next token from logits.
public struct Sampler: Sendable, Equatable {
    /// 0: always the most likely token.
    public let temperature: Double
    /// Samples only from the most likely tokens that together have this probability.
    public let topP: Double
    /// Chooses only among the first rows of the vocabulary, those with a piece in the tokenizer.
    var pieces = Int.max
    private var random: SplitMix64

    /// Greedy, as used for parity checks.
    public static let greedy = Sampler(temperature: 0, topP: 1, seed: 0)

    /// - Precondition: `temperature` is 0 or more, and `topP` above 0 and at most 1.
    public init(temperature: Double, topP: Double, seed: UInt64) {
        precondition(temperature >= 0 && topP > 0 && topP <= 1, "got temperature \(temperature) and top-p \(topP)")
        self.temperature = temperature
        self.topP = topP
        random = SplitMix64(state: seed)
    }

    /// The next token's id, the index of its logit. Ties go to the first, as in torch's argmax; NaN is never chosen.
    public mutating func next<Logits: RandomAccessCollection>(_ logits: Logits) -> Int32
    where Logits.Element: BinaryFloatingPoint, Logits.Index == Int {
        choose(logits)
    }

    /// Specialized version, because tens of thousands of logits are read per token, in place.
    public mutating func next(_ logits: UnsafeBufferPointer<Float>) -> Int32 { choose(logits) }

    #if !(os(macOS) && arch(x86_64))  // Swift has no Float16 on Intel Macs
        /// As for `Float`.
        public mutating func next(_ logits: UnsafeBufferPointer<Float16>) -> Int32 { choose(logits) }
    #endif

    @inline(__always)
    private mutating func choose<Logits: RandomAccessCollection>(_ logits: Logits) -> Int32
    where Logits.Element: BinaryFloatingPoint, Logits.Index == Int {
        let rows = logits.startIndex..<logits.startIndex + min(logits.count, pieces)
        var best = logits.startIndex, most = -Double.infinity
        for index in rows where Double(logits[index]) > most {
            best = index
            most = Double(logits[index])
        }
        guard temperature > 0, most > -.infinity else { return Int32(best - logits.startIndex) }
        var weights = [(id: Int, weight: Double)]()
        for index in rows where !logits[index].isNaN {
            weights.append((index - logits.startIndex, ((Double(logits[index]) - most) / temperature).exponential))
        }
        if topP < 1 { weights = nucleus(weights) }
        var left = weights.reduce(0) { $0 + $1.weight } * random.nextUnit()
        for (id, weight) in weights {
            left -= weight
            if left < 0 { return Int32(id) }
        }
        return Int32(weights[weights.count - 1].id)
    }

    private func nucleus(_ weights: [(id: Int, weight: Double)]) -> [(id: Int, weight: Double)] {
        let sorted = weights.sorted { $0.weight != $1.weight ? $0.weight > $1.weight : $0.id < $1.id }
        let enough = topP * weights.reduce(0) { $0 + $1.weight }
        var sum = 0.0
        var kept = 0
        while kept < sorted.count, sum < enough {
            sum += sorted[kept].weight
            kept += 1
        }
        return Array(sorted[..<max(kept, 1)])
    }
}

/// A small seeded generator (Steele, Lea and Flood, 2014).
struct SplitMix64: Sendable, Equatable {
    var state: UInt64

    /// From 0 to below 1.
    mutating func nextUnit() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((value ^ (value >> 31)) >> 11) * 0x1p-53
    }
}

extension Double {
    fileprivate var exponential: Double { exp(self) }
}
