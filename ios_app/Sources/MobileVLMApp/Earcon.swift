import Foundation
import MobileVLMCore

/// A short sound for people who can't see the screen; the same as on Android.
public enum Earcon: Sendable, CaseIterable {
    case shutter, began, done, failed

    static let rate = 44_100
    /// Seconds in which a note swells and fades, so that it doesn't click.
    private static let fade = 0.008
    private static let loudness = 0.4

    /// Hertz and milliseconds.
    private var notes: [(hertz: Double, milliseconds: Int)] {
        switch self {
        case .shutter: [(1800, 30), (1200, 40)]
        case .began: [(660, 90)]
        case .done: [(660, 80), (880, 120)]
        case .failed: [(330, 120), (220, 180)]
        }
    }

    /// The sound of a change of the state; nil if there is none. Live mode's answers have none: VoiceOver reads them out.
    static func of(_ before: SessionState, _ after: SessionState, isLive: Bool) -> Earcon? {
        if after.problem != nil, after.problem != before.problem { return .failed }
        guard !isLive, after.picture == before.picture, let turn = after.turns.last else { return nil }
        let isNew = after.turns.count > before.turns.count
        guard isNew || after.turns.count == before.turns.count && before.turns.last?.ended == nil else { return nil }
        switch turn.ended {
        case nil: return isNew ? .began : nil
        case .complete, .length: return .done
        case .failed: return .failed
        case .stopped: return nil
        }
    }

    /// As a WAV file: one channel of 16 bits.
    public var wav: Data {
        let bytes = Data(
            notes.flatMap { Self.samples($0.hertz, $0.milliseconds) }.flatMap {
                [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
            })
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

    private static func samples(_ hertz: Double, _ milliseconds: Int) -> [Int16] {
        let count = rate * milliseconds / 1000
        return (0..<count).map { index in
            let swell = min(1, Double(min(index, count - 1 - index)) / (fade * Double(rate)))
            return Int16(loudness * Double(Int16.max) * swell * sin(2 * Double.pi * hertz * Double(index) / Double(rate)))
        }
    }

    private func little(_ value: Int, _ count: Int) -> Data {
        Data((0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }
}
