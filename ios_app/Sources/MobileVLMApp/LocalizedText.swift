/// A text of the app: its key in the string catalogue and what is put into it, or a text that comes as it is.
public struct LocalizedText: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case text(String)
        /// LocalizedText of the catalogue, by their key.
        case localized(String)
        case count(Int)
        case decimal(Double)
        /// Shown as kilobytes, megabytes, …
        case bytes(Int64)
    }

    /// Nil: `values` holds the text itself.
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

    /// `text`, in whatever language it is.
    public static func literal(_ text: String) -> LocalizedText { LocalizedText(literal: text) }
}
