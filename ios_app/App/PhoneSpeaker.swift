import AVFoundation
import MobileVLMApp

/// Reads answers aloud with the phone's voices, also while the phone is muted: the user has asked for it.
@MainActor
final class PhoneSpeaker: NSObject, Speaker {
    private let synthesizer = AVSpeechSynthesizer()
    private var ended: (@MainActor @Sendable () -> Void)?
    private var spoken: ObjectIdentifier?  // the newest utterance

    override init() {
        super.init()
        synthesizer.delegate = self
    }

    func speak(_ text: String, in language: String, ended: @escaping @MainActor @Sendable () -> Void) -> Bool {
        guard let voice = AVSpeechSynthesisVoice(language: language) else { return false }
        let utterance = AVSpeechUtterance(string: text)
        utterance.voice = voice
        self.ended = ended
        spoken = ObjectIdentifier(utterance)
        // Other sounds get quieter meanwhile.
        try? AVAudioSession.sharedInstance().setCategory(.playback, mode: .spokenAudio, options: .duckOthers)
        try? AVAudioSession.sharedInstance().setActive(true)
        synthesizer.speak(utterance)
        return true
    }

    func stop() {
        let wasSpeaking = ended != nil
        ended = nil
        synthesizer.stopSpeaking(at: .immediate)
        if wasSpeaking { leave() }
    }

    private func leave() {
        try? AVAudioSession.sharedInstance().setActive(false, options: .notifyOthersOnDeactivation)
        try? AVAudioSession.sharedInstance().setCategory(.ambient)  // for short sounds
    }
}

extension PhoneSpeaker: AVSpeechSynthesizerDelegate {
    nonisolated func speechSynthesizer(_ synthesizer: AVSpeechSynthesizer, didFinish utterance: AVSpeechUtterance) {
        let finished = ObjectIdentifier(utterance)
        Task { @MainActor in
            // By now, another one may be spoken.
            guard finished == self.spoken, let ended = self.ended else { return }
            self.ended = nil
            self.leave()
            ended()
        }
    }
}
