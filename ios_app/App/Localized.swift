import Foundation
import MobileVLMApp
import SwiftUI

extension LocalizedText {
    /// In the phone's language.
    var localized: String {
        let arguments = values.map { value -> any CVarArg in
            switch value {
            case .text(let text): text as NSString
            case .localized(let key): localizedString(key) as NSString
            case .count(let count): count
            case .decimal(let number): number
            case .bytes(let bytes): bytes.formatted(.byteCount(style: .memory))
            }
        }
        guard let key else { return arguments.map { "\($0)" }.joined() }
        return String(format: NSLocalizedString(key, comment: ""), locale: .current, arguments: arguments)
    }
}

/// The text of `key` in the phone's language.
func localizedString(_ key: String) -> String { LocalizedText(key).localized }

extension Text {
    init(_ words: LocalizedText) { self.init(verbatim: words.localized) }
}

extension Color {
    /// The color of problems, readable in light and dark mode.
    static let problem = Color("Problem")
}
