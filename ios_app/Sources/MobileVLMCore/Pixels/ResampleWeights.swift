/// The input pixels and weights of each output pixel along one axis: Pillow's bicubic (a = −0.5), widened when shrinking so that it
/// doesn't alias, in fixed point with `precisionBits` fractional bits.
///
/// Output pixel `i` is the sum over `k` of `input[first[i] + k] * weights[i * taps + k]`, `k` below `count[i]`.
///
/// Source: the method of Pillow's `Resample.c` (8 bits per channel), which these weights match bit for bit.
struct ResampleWeights {
    let inputSize: Int
    let taps: Int
    let first: [Int]
    let count: [Int]
    let weights: [Int32]

    /// 32 bits minus 8 for a color and 2 for the kernel's overshoot.
    static let precisionBits: Int32 = 32 - 8 - 2

    init(inputSize: Int, outputSize: Int) {
        let scale = Double(inputSize) / Double(outputSize)
        let widened = max(scale, 1)
        let support = 2 * widened
        let taps = Int(support.rounded(.up)) * 2 + 1
        var first = [Int](), count = [Int]()
        var weights = [Int32](repeating: 0, count: outputSize * taps)
        for index in 0..<outputSize {
            let center = (Double(index) + 0.5) * scale
            let begin = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), inputSize)
            let exact = (begin..<end).map { Self.bicubic((Double($0) - center + 0.5) * (1 / widened)) }
            let sum = exact.reduce(0, +)
            for (tap, value) in exact.enumerated() {
                let weight = (sum != 0 ? value / sum : value) * Double(1 << Self.precisionBits)
                weights[index * taps + tap] = Int32(weight < 0 ? weight - 0.5 : weight + 0.5)
            }
            first.append(begin)
            count.append(end - begin)
        }
        self.inputSize = inputSize
        self.taps = taps
        self.first = first
        self.count = count
        self.weights = weights
    }

    private static func bicubic(_ distance: Double) -> Double {
        let a = -0.5
        let x = abs(distance)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }
}
