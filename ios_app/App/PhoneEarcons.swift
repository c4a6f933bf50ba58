import AVFoundation
import MobileVLMApp

/// Plays short sounds over others, such as music, unless the phone is muted.
@MainActor
final class PhoneEarcons {
    private var players = [Earcon: AVAudioPlayer]()

    init() {
        try? AVAudioSession.sharedInstance().setCategory(.ambient)
    }

    func play(_ earcon: Earcon) {
        let player = players[earcon] ?? (try? AVAudioPlayer(data: earcon.wav))
        players[earcon] = player
        player?.currentTime = 0
        player?.play()
    }
}
