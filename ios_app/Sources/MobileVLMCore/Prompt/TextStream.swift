/// Turns the pieces of single tokens into displayable text: complete characters only.
///
/// A piece such as `<0xE4>` is one byte of a character missing from the vocabulary; it is held until the character is complete. Invalid
/// bytes are shown as U+FFFD. The space before the first word belongs to the prompt and is dropped, as are special tokens.
public struct TextStream: Sendable {
    /// SentencePiece's space, U+2581.
    static let space: Unicode.Scalar = "\u{2581}"

    private var bytes = UTF8Assembler()
    private var hasStarted = false
    private let specials: Set<String>

    /// - Parameter specials: pieces that are never shown, such as `<s>`
    public init(hiding specials: Set<String>) {
        self.specials = specials
    }

    /// The text that `piece` completes, perhaps none.
    public mutating func add(_ piece: String) -> String {
        if specials.contains(piece) { return "" }
        if let byte = Self.spelledByte(piece) { return shown(bytes.add(byte)) }
        var text = String.UnicodeScalarView()
        for scalar in piece.unicodeScalars { text.append(scalar == Self.space ? " " : scalar) }
        return shown(bytes.finish() + String(text))
    }

    /// The rest of an incomplete character, as U+FFFD.
    public mutating func finish() -> String {
        shown(bytes.finish())
    }

    private mutating func shown(_ text: String) -> String {
        if text.isEmpty || hasStarted { return text }
        hasStarted = true
        return text.unicodeScalars.first == " " ? String(text.unicodeScalars.dropFirst()) : text
    }

    /// The byte that a piece `<0xHH>` spells.
    static func spelledByte(_ piece: String) -> UInt8? {
        let letters = Array(piece.utf8)
        guard letters.count == 6, letters.starts(with: Array("<0x".utf8)), letters[5] == UInt8(ascii: ">") else { return nil }
        let digits = Array("0123456789ABCDEF".utf8)
        guard let high = digits.firstIndex(of: letters[3]), let low = digits.firstIndex(of: letters[4]) else { return nil }
        return UInt8(high * 16 + low)
    }
}

/// Decodes UTF-8 byte by byte; each maximal invalid prefix of a character becomes one U+FFFD (WHATWG Encoding).
struct UTF8Assembler: Sendable {
    private var needed = 0
    private var code: UInt32 = 0
    private var next: ClosedRange<UInt8> = 0x80...0xBF

    mutating func add(_ byte: UInt8) -> String {
        if needed == 0 { return begin(byte) }
        guard next.contains(byte) else { return finish() + begin(byte) }
        next = 0x80...0xBF
        code = code << 6 | UInt32(byte & 0x3F)
        needed -= 1
        guard needed == 0, let scalar = Unicode.Scalar(code) else { return "" }
        return String(Character(scalar))
    }

    mutating func finish() -> String {
        defer {
            needed = 0
            next = 0x80...0xBF
        }
        return needed > 0 ? "\u{FFFD}" : ""
    }

    private mutating func begin(_ byte: UInt8) -> String {
        switch byte {
        case 0x00...0x7F: return String(Character(Unicode.Scalar(byte)))
        case 0xC2...0xDF: expect(1, byte & 0x1F)
        case 0xE0...0xEF:
            if byte == 0xE0 { next = 0xA0...0xBF }  // overlong encodings
            if byte == 0xED { next = 0x80...0x9F }  // surrogates
            expect(2, byte & 0x0F)
        case 0xF0...0xF4:
            if byte == 0xF0 { next = 0x90...0xBF }
            if byte == 0xF4 { next = 0x80...0x8F }  // beyond U+10FFFF
            expect(3, byte & 0x07)
        default: return "\u{FFFD}"
        }
        return ""
    }

    private mutating func expect(_ bytes: Int, _ bits: UInt8) {
        needed = bytes
        code = UInt32(bits)
    }
}
