import AVFoundation
import MobileVLMApp

/// Reads answers aloud with the phone's voices.
@MainActor
final class PhoneSpeaker: NSObject, Speaker {
    private let synthesizer = AVSpeechSynthesizer()
    private var ended: (@MainActor @Sendable () -> Void)?

    override init() {
        super.init()
        synthesizer.delegate = self
    }

    func speak(_ text: String, in language: String, ended: @escaping @MainActor @Sendable () -> Void) -> Bool {
        guard let voice = AVSpeechSynthesisVoice(language: language) else { return false }
        let utterance = AVSpeechUtterance(string: text)
        utterance.voice = voice
        self.ended = ended
        synthesizer.speak(utterance)
        return true
    }

    func stop() {
        ended = nil
        synthesizer.stopSpeaking(at: .immediate)
    }
}

extension PhoneSpeaker: AVSpeechSynthesizerDelegate {
    nonisolated func speechSynthesizer(_ synthesizer: AVSpeechSynthesizer, didFinish utterance: AVSpeechUtterance) {
        Task { @MainActor in self.ended?() }
    }
}
