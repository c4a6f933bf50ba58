import Foundation

/// A short sound that says what live mode does to those who can't see it.
public enum Earcon: Sendable, CaseIterable {
    case began, answered, ended

    static let rate = 22_050
    private static let seconds = 0.12

    /// From the first to the last pitch, in hertz: up, level, down.
    private var pitches: (Double, Double) {
        switch self {
        case .began: (440, 660)
        case .answered: (880, 880)
        case .ended: (660, 440)
        }
    }

    /// As a WAV file: one channel of 16 bits.
    public var wav: Data {
        let count = Int(Double(Self.rate) * Self.seconds)
        var phase = 0.0
        let samples = (0..<count).map { index -> Int16 in
            let share = Double(index) / Double(count)
            phase += 2 * Double.pi * (pitches.0 + (pitches.1 - pitches.0) * share) / Double(Self.rate)
            // It swells and fades, so that it doesn't click.
            return Int16(8_000 * sin(Double.pi * share) * sin(phase))
        }
        let bytes = Data(samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] })
        // PCM, one channel, samples and bytes a second, bytes and bits of a sample.
        let format = [(16, 4), (1, 2), (1, 2), (Self.rate, 4), (2 * Self.rate, 4), (2, 2), (16, 2)]
        var content = Data("WAVEfmt ".utf8)
        for (value, count) in format { content += little(value, count) }
        content += Data("data".utf8)
        content += little(bytes.count, 4)
        content += bytes
        var file = Data("RIFF".utf8)
        file += little(content.count, 4)
        return file + content
    }

    private func little(_ value: Int, _ count: Int) -> Data {
        Data((0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }
}
