/// A question and its answer, which is missing for the question being asked.
public struct Turn: Sendable, Equatable {
    public let question: String
    public let answer: String?

    public init(question: String, answer: String? = nil) {
        self.question = question
        self.answer = answer
    }
}

/// A part of a prompt.
public enum Segment: Sendable, Equatable {
    case text(String)
    /// The picture's tokens.
    case image
    /// The end of an answer: the first of the stop ids.
    case end
}

/// The prompt template of a bundle, from its manifest's `PromptSpec`. User and model texts are inserted unchanged.
public struct Prompt: Sendable {
    /// The placeholder for a question in the manifest's texts.
    static let question = "{question}"

    private let spec: PromptSpec

    public init(_ spec: PromptSpec) {
        self.spec = spec
    }

    /// The text after the picture that asks the first `question`.
    ///
    /// - Throws: `PromptError` if it is empty.
    public func afterImage(_ question: String) throws(PromptError) -> String { try filled(spec.afterImage, with: question) }

    /// The text after a finished answer and its end that asks another `question`.
    ///
    /// - Throws: `PromptError` if it is empty.
    public func followUp(_ question: String) throws(PromptError) -> String { try filled(spec.followUp, with: question) }

    /// The whole conversation in the template.
    ///
    /// - Throws: `PromptError` if a question is empty, there is none, or a turn before the last has no answer.
    public func segments(_ turns: [Turn]) throws(PromptError) -> [Segment] {
        guard !turns.isEmpty else {
            throw PromptError("conversation: got no turn, expected at least one question")
        }
        var segments: [Segment] = [.text(spec.beforeImage), .image]
        for (index, turn) in turns.enumerated() {
            let asked = index == 0 ? try afterImage(turn.question) : try followUp(turn.question)
            if let answer = turn.answer {
                segments += [.text("\(asked) \(answer)"), .end]
            } else if index == turns.count - 1 {
                segments.append(.text(asked))
            } else {
                throw PromptError("conversation: turn \(index + 1) has no answer, expected one before the next question")
            }
        }
        return segments
    }

    private func filled(_ template: String, with question: String) throws(PromptError) -> String {
        guard question.contains(where: { !$0.isWhitespace }) else {
            throw PromptError("question: got an empty text, expected a question")
        }
        // By scalars: a combining mark after the braces must not merge with them.
        let parts = template.unicodeScalars.split(at: Self.question)
        return parts.before + question + parts.after
    }
}

extension String.UnicodeScalarView {
    /// The texts before and after the first `mark`, which must be present.
    fileprivate func split(at mark: String) -> (before: String, after: String) {
        let scalars = Array(self), wanted = Array(mark.unicodeScalars)
        let at = scalars.indices.first { scalars[$0...].starts(with: wanted) } ?? scalars.endIndex
        func text(_ part: ArraySlice<Unicode.Scalar>) -> String {
            var text = String.UnicodeScalarView()
            text.append(contentsOf: part)
            return String(text)
        }
        return (text(scalars[..<at]), text(scalars[at...].dropFirst(wanted.count)))
    }
}
