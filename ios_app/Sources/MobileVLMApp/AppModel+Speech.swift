import Foundation

/// Reading answers aloud.
extension AppModel {
    /// Reads an answer aloud with a voice of its language, or stops if it is being read.
    public func speak(_ text: String) {
        let isOver = speaking == text
        dependencies.speaker.stop()
        speaking = nil
        if isOver { return }
        spoken += 1
        let mine = spoken
        let isHan = text.unicodeScalars.contains { (0x3400...0x9FFF).contains($0.value) }
        let isSpoken = dependencies.speaker.speak(text, in: isHan ? "zh-CN" : "en-US") { [weak self] in
            if self?.spoken == mine { self?.speaking = nil }
        }
        if isSpoken { speaking = text }
        hasNoVoice = !isSpoken
    }
}
