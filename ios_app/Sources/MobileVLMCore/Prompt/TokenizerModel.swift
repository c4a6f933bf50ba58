import Foundation

/// Reads the pieces of a SentencePiece model file (`tokenizer.model`, a protobuf), and checks that it is LLaMA's kind.
///
/// Source: `sentencepiece_model.proto`, with its field numbers.
struct TokenizerModel {
    enum Kind: UInt64 {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// `text` as UTF-8 bytes, because canonically equal pieces may differ in bytes.
    struct Piece {
        var text = ArraySlice<UInt8>()
        var score: Float = 0
        var kind = Kind.normal
    }

    private(set) var pieces = [Piece]()
    private(set) var addsSpaceInFront = true
    private(set) var unknownID: Int32 = 0

    /// - Throws: `BundleError` if `bytes` aren't such a model; errors refer to them as `name`.
    init(_ bytes: [UInt8], name: String) throws {
        do {
            try read(bytes)
        } catch let error as Refusal {
            throw BundleError("\(name): got \(error.got), expected a SentencePiece BPE model with byte fallback")
        }
    }

    private struct Refusal: Error {
        let got: String
    }

    private mutating func read(_ bytes: [UInt8]) throws {
        var isBPE = false, removesSpaces = true, escapesSpaces = true, hasCharacterMap = false
        for field in try Self.fields(bytes[...]) {
            switch (field.number, field.value) {
            case (1, .bytes(let piece)): pieces.append(try Self.piece(piece))
            case (2, .bytes(let trainer)):
                for field in try Self.fields(trainer) {
                    if field.number == 3, case .number(let kind) = field.value { isBPE = kind == 2 }
                    if field.number == 40, case .number(let id) = field.value { unknownID = Int32(truncatingIfNeeded: id) }
                }
            case (3, .bytes(let normalizer)):
                for field in try Self.fields(normalizer) {
                    switch (field.number, field.value) {
                    case (2, .bytes(let map)): hasCharacterMap = !map.isEmpty
                    case (3, .number(let flag)): addsSpaceInFront = flag != 0
                    case (4, .number(let flag)): removesSpaces = flag != 0
                    case (5, .number(let flag)): escapesSpaces = flag != 0
                    default: break
                    }
                }
            default: break
            }
        }
        if !isBPE { throw Refusal(got: "another kind of model") }
        if hasCharacterMap || removesSpaces || !escapesSpaces { throw Refusal(got: "a normalizer that changes the text") }
        if pieces.contains(where: { $0.kind == .userDefined || $0.kind == .unused }) {
            throw Refusal(got: "user-defined or unused pieces")
        }
    }

    private static func piece(_ bytes: ArraySlice<UInt8>) throws -> Piece {
        var piece = Piece()
        for field in try fields(bytes) {
            switch (field.number, field.value) {
            case (1, .bytes(let text)): piece.text = text
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .number(let kind)):
                guard let kind = Kind(rawValue: kind) else { throw Refusal(got: "a piece of kind \(kind)") }
                piece.kind = kind
            default: break
            }
        }
        return piece
    }

    // MARK: - protobuf's wire format

    private enum Value {
        case number(UInt64), fixed32(UInt32), fixed64, bytes(ArraySlice<UInt8>)
    }

    private static func fields(_ bytes: ArraySlice<UInt8>) throws -> [(number: UInt64, value: Value)] {
        var fields = [(number: UInt64, value: Value)]()
        var rest = bytes
        while !rest.isEmpty {
            let key = try varint(&rest)
            let value: Value
            switch key & 7 {
            case 0: value = .number(try varint(&rest))
            case 1:
                _ = try take(8, of: &rest)
                value = .fixed64
            case 2: value = .bytes(try take(varint(&rest), of: &rest))
            case 5: value = .fixed32(try take(4, of: &rest).reversed().reduce(0) { $0 << 8 | UInt32($1) })
            default: throw Refusal(got: "a damaged file")
            }
            fields.append((key >> 3, value))
        }
        return fields
    }

    private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { throw Refusal(got: "a file that is cut short") }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw Refusal(got: "a damaged file")
    }

    private static func take(_ count: UInt64, of rest: inout ArraySlice<UInt8>) throws -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw Refusal(got: "a file that is cut short") }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }
}
