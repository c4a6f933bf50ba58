import Foundation

/// The checkpoint's SentencePiece tokenizer: BPE with byte fallback over text whose spaces are U+2581, with one in front.
///
/// Ids equal the reference's. Each text is a separate segment without special tokens: `</s>` typed by a user is text.
public struct Tokenizer: Sendable {
    private let pieces: [String]
    private let scores: [Float]
    private let vocabulary: [ArraySlice<UInt8>: Int32]  // normal pieces only, by their bytes
    private let bytes: [Int32]
    private let space: [UInt8]?
    /// The pieces that are never shown: control tokens and the unknown token.
    public let specials: Set<String>

    /// Reads the bundle's `tokenizer.model`.
    ///
    /// - Throws: `BundleError` if it can't be read, or isn't a BPE model with byte fallback.
    public init(_ file: URL) throws {
        let content: Data
        do {
            content = try Data(contentsOf: file)
        } catch {
            throw BundleError("\(file.path): can't be read, expected the bundle's tokenizer")
        }
        let model = try TokenizerModel([UInt8](content), name: file.path)
        var vocabulary = [ArraySlice<UInt8>: Int32](), specials = Set<String>()
        var bytes = [Int32?](repeating: nil, count: 256)
        pieces = model.pieces.map { String(decoding: $0.text, as: UTF8.self) }
        scores = model.pieces.map(\.score)
        for (id, piece) in zip(Int32(0)..., model.pieces) {
            switch piece.kind {
            case .normal: vocabulary[ArraySlice(Array(piece.text))] = id
            case .byte:
                guard let byte = TextStream.spelledByte(pieces[Int(id)]) else {
                    throw BundleError("\(file.path): got the byte piece '\(pieces[Int(id)])', expected <0x00> to <0xFF>")
                }
                bytes[Int(byte)] = id
            case .control, .unknown: specials.insert(pieces[Int(id)])
            case .userDefined, .unused: break
            }
        }
        if let missing = bytes.firstIndex(of: nil) {
            throw BundleError("\(file.path): got no piece for byte \(missing), expected all 256")
        }
        self.vocabulary = vocabulary
        self.specials = specials
        self.bytes = bytes.compactMap { $0 }
        space = model.addsSpaceInFront ? Self.spaceBytes : nil
    }

    /// The number of ids.
    public var count: Int { pieces.count }

    /// A token's piece, such as `▁the` or `<0xE4>`; empty for an id without one.
    public func piece(_ id: Int32) -> String {
        pieces.indices.contains(Int(id)) ? pieces[Int(id)] : ""
    }

    /// The displayed text of `ids`.
    public func decode(_ ids: [Int32]) -> String {
        var stream = TextStream(hiding: specials)
        return ids.map { stream.add(piece($0)) }.joined() + stream.finish()
    }

    /// Ids of `text` as one segment, without BOS.
    public func encode(_ text: String) -> [Int32] {
        if text.isEmpty { return [] }
        var spelled = space ?? []
        for byte in text.utf8 {
            if byte == UInt8(ascii: " ") { spelled += Self.spaceBytes } else { spelled.append(byte) }
        }
        return merged(spelled)
    }

    private static let spaceBytes = Array("\u{2581}".utf8)

    /// A pair of neighbors that forms a piece.
    private struct Candidate {
        let score: Float
        let left: Int
        let end: Int
        let id: Int32
    }

    /// Merges characters of `text`, best score first and from the left, until no two neighbors form a piece.
    private func merged(_ text: [UInt8]) -> [Int32] {
        // Indexed by a symbol's start: its end, and the start of the previous symbol.
        var end = [Int](repeating: 0, count: text.count)
        var before = [Int](repeating: -1, count: text.count + 1)
        var begin = 0
        while begin < text.count {
            var stop = begin + 1
            while stop < text.count, text[stop] & 0xC0 == 0x80 { stop += 1 }
            end[begin] = stop
            before[stop] = begin
            begin = stop
        }
        var candidates = Heap<Candidate> { $0.score > $1.score || ($0.score == $1.score && $0.left < $1.left) }
        func offer(_ left: Int) {
            guard left >= 0, end[left] < text.count else { return }
            let stop = end[end[left]]
            if let id = vocabulary[text[left..<stop]] {
                candidates.push(Candidate(score: scores[Int(id)], left: left, end: stop, id: id))
            }
        }
        var at = 0
        while at < text.count {
            offer(at)
            at = end[at]
        }
        while let best = candidates.pop() {
            // Stale unless both halves are unchanged.
            guard end[best.left] > 0, end[best.left] < best.end, end[end[best.left]] == best.end else { continue }
            let right = end[best.left]
            end[right] = 0
            end[best.left] = best.end
            before[best.end] = best.left
            offer(before[best.left])
            offer(best.left)
        }
        return ids(of: text, end: end)
    }

    private func ids(of text: [UInt8], end: [Int]) -> [Int32] {
        var ids = [Int32]()
        var at = 0
        while at < text.count {
            let symbol = text[at..<end[at]]
            if let id = vocabulary[symbol] {
                ids.append(id)
            } else {
                ids += symbol.map { bytes[Int($0)] }
            }
            at = end[at]
        }
        return ids
    }
}

/// A binary heap ordered by `goesFirst`.
struct Heap<Element> {
    private var elements = [Element]()
    private let goesFirst: (Element, Element) -> Bool

    init(_ goesFirst: @escaping (Element, Element) -> Bool) {
        self.goesFirst = goesFirst
    }

    mutating func push(_ element: Element) {
        elements.append(element)
        var at = elements.count - 1
        while at > 0, goesFirst(elements[at], elements[(at - 1) / 2]) {
            elements.swapAt(at, (at - 1) / 2)
            at = (at - 1) / 2
        }
    }

    mutating func pop() -> Element? {
        guard !elements.isEmpty else { return nil }
        elements.swapAt(0, elements.count - 1)
        let first = elements.removeLast()
        var at = 0
        while true {
            var best = at
            for child in [2 * at + 1, 2 * at + 2] where child < elements.count && goesFirst(elements[child], elements[best]) {
                best = child
            }
            if best == at { return first }
            elements.swapAt(at, best)
            at = best
        }
    }
}
