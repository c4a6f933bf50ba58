/// A text of the app: a key in the string catalog with its values, or a literal text.
public struct LocalizedText: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case text(String)
        /// Another text of the catalog, by its key.
        case localized(String)
        case count(Int)
        case decimal(Double)
        /// Shown as kilobytes, megabytes, …
        case bytes(Int64)
    }

    /// Nil if `values` holds a literal text.
    public let key: String?
    public let values: [Value]

    public init(_ key: String, _ values: Value...) {
        self.key = key
        self.values = values
    }

    private init(literal text: String) {
        key = nil
        values = [.text(text)]
    }

    /// `text` as it is, untranslated.
    public static func literal(_ text: String) -> LocalizedText { LocalizedText(literal: text) }
}
