import XCTest

@testable import MobileVLMCore

final class PromptTests: XCTestCase {
    private struct Case: Decodable {
        struct GoldenTurn: Decodable {
            let question: String
            let answer: String?
        }

        struct GoldenSegment: Decodable {
            let text: String?
            let mark: String?
        }

        struct IDs: Decodable {
            let before_image: [Int32]
            let after_image: [Int32]
        }

        let turns: [GoldenTurn]
        let segments: [GoldenSegment]
        let ids: [String: IDs]
    }

    func testGoldenPromptsHaveTheReferencesSegmentsAndIDs() throws {
        let cases: [Case] = try Golden.cases("prompts/prompts.json")
        XCTAssertGreaterThanOrEqual(cases.count, 60)
        let manifest = try ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json"))
        let prompt = Prompt(manifest.prompt)
        let wide = try Tokenizer(Golden.folder.appending(path: "prompts/wide.model"))
        let demo = try Tokenizer(Self.demoTokenizer)
        for golden in cases {
            let turns = golden.turns.map { Turn(question: $0.question, answer: $0.answer) }
            let segments = try prompt.segments(turns)
            let expected = golden.segments.map { segment -> Segment in
                segment.text.map { .text($0) } ?? (segment.mark == "IMAGE" ? .image : .end)
            }
            XCTAssertEqual(segments.map(spelled), expected.map(spelled), golden.turns[0].question)
            for (name, tokenizer) in ["wide": wide, "demo": demo] {
                let parts = sides(of: segments, by: tokenizer, manifest.prompt)
                XCTAssertEqual(parts[0], golden.ids[name]?.before_image, golden.turns[0].question)
                XCTAssertEqual(parts[1], golden.ids[name]?.after_image, golden.turns[0].question)
            }
        }
    }

    func testGoldenPromptsOfATokenizerThatAddsNoSpace() throws {
        struct Plain: Decodable {
            struct Case: Decodable {
                let turns: [PromptTests.Case.GoldenTurn]
                let before_image: [Int32]
                let after_image: [Int32]
            }

            let prompt: [String: String]
            let cases: [Case]
        }
        let bytes = try Data(contentsOf: Golden.folder.appending(path: "prompts/plain.json"))
        let golden = try JSONDecoder().decode(Plain.self, from: bytes)
        XCTAssertGreaterThanOrEqual(golden.cases.count, 60)
        let demo = try ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json")).prompt
        let spec = PromptSpec(
            beforeImage: golden.prompt["before_image"]!, afterImage: golden.prompt["after_image"]!,
            followUp: golden.prompt["follow_up"]!, bosID: demo.bosID, stopIDs: demo.stopIDs, stopText: demo.stopText)
        let tokenizer = try Tokenizer(Golden.folder.appending(path: "prompts/plain.model"))
        for each in golden.cases {
            let turns = each.turns.map { Turn(question: $0.question, answer: $0.answer) }
            let parts = sides(of: try Prompt(spec).segments(turns), by: tokenizer, spec)
            XCTAssertEqual(parts, [each.before_image, each.after_image], each.turns[0].question)
        }
    }

    /// Token ids before and after the image.
    private func sides(of segments: [Segment], by tokenizer: Tokenizer, _ spec: PromptSpec) -> [[Int32]] {
        var parts: [[Int32]] = [[spec.bosID]]
        for segment in segments {
            switch segment {
            case .text(let text): parts[parts.count - 1] += tokenizer.encode(text)
            case .image: parts.append([])
            case .end: parts[parts.count - 1].append(spec.stopIDs[0])
            }
        }
        return parts
    }

    func testConversationsThatCanNotBeAskedAreRefused() throws {
        let prompt = Prompt(try ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json")).prompt)
        assertThrows("got no turn") { try prompt.segments([]) }
        assertThrows("got an empty text") { try prompt.segments([Turn(question: " \n")]) }
        assertThrows("turn 1 has no answer") { try prompt.segments([Turn(question: "a"), Turn(question: "b")]) }
    }

    func testAQuestionMayBeginWithACombiningMark() throws {
        let prompt = Prompt(try ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json")).prompt)
        let segments = try prompt.segments([Turn(question: "\u{301}? {question}")])
        XCTAssertEqual(spelled(segments[2]), spelled(.text("\n\u{301}? {question} ASSISTANT:")))
    }

    static let demoTokenizer = Golden.folder.deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "export/mobilevlm_export/demo/checkpoint/tokenizer.model")

    private func spelled(_ segment: Segment) -> String {
        if case .text(let text) = segment { return text.unicodeScalars.map { String($0.value) }.joined(separator: " ") }
        return "\(segment)"
    }
}
