import AVFoundation

/// Speaks answers on request, with the phone's own voices.
@MainActor
final class Speaker {
    private let synthesizer = AVSpeechSynthesizer()

    /// False if the phone has no voice for `language`.
    func speak(_ text: String, in language: String) -> Bool {
        guard let voice = AVSpeechSynthesisVoice(language: language) else { return false }
        let utterance = AVSpeechUtterance(string: text)
        utterance.voice = voice
        synthesizer.stopSpeaking(at: .immediate)
        synthesizer.speak(utterance)
        return true
    }
}
