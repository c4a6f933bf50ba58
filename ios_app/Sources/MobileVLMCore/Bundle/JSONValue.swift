/// Any JSON value, to show in an error.
enum JSONValue: Decodable, Equatable, CustomStringConvertible {
    case bool(Bool), number(Double), text(String), list([JSONValue]), object([String: JSONValue])

    init(from decoder: Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue?].self) {
            self = .list(value.map { $0 ?? .text("null") })
        } else {
            self = .object(try container.decode([String: JSONValue?].self).compactMapValues { $0 })
        }
    }

    /// The value at a decoding path, or nil.
    func value(at path: [any CodingKey]) -> JSONValue? {
        guard let key = path.first else { return self }
        switch self {
        case .object(let values): return values[key.stringValue]?.value(at: Array(path.dropFirst()))
        case .list(let items):
            guard let index = key.intValue, items.indices.contains(index) else { return nil }
            return items[index].value(at: Array(path.dropFirst()))
        default: return nil
        }
    }

    /// In one line, truncated if long.
    var description: String {
        switch self {
        case .bool(let value): "\(value)"
        case .number(let value): value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
        case .text(let value): "'\(shown(value))'"
        case .list(let items): "a list of \(items.count)"
        case .object(let values): "an object of \(values.count)"
        }
    }
}

/// `text` in one line of at most 60 characters.
func shown(_ text: String) -> String {
    String(text.unicodeScalars.prefix(60).map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : Character($0) })
}
