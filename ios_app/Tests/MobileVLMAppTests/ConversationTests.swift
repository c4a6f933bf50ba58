import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

@MainActor
final class ConversationTests: XCTestCase, @unchecked Sendable {
    private func asked(_ fixture: AppFixture, _ questions: String...) async throws {
        for question in questions {
            fixture.model.newPicture()
            await fixture.model.pick { Data([UInt8(question.count)]) }
            await fixture.model.settle()
            await fixture.ask(question)
        }
        await fixture.settleAll()
    }

    private func files(_ fixture: AppFixture) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: fixture.folder.appending(path: "conversations").path)) ?? []
    }

    func testWhatCannotBeWrittenLosesNothing() async throws {
        let fixture = try AppFixture()
        let store = ConversationStore(fixture.folder.appending(path: "conversations")) { _ in }
        let turn = ChatTurn(question: "What is this?", answer: "a cat", ended: .complete)
        let nothing = AnswerStats(imageSeconds: .nan, firstTokenSeconds: 0, tokens: 0, tokensPerSecond: 0)  // isn't JSON
        let unwritable = ChatTurn(question: "And?", answer: "a dog", ended: .complete, stats: nothing)
        let id = UUID()
        for (id, turns) in [(id, [turn]), (id, [turn, unwritable]), (UUID(), [unwritable])] {
            let conversation = KeptConversation(id: id, date: Date(), model: "m", turns: turns)
            await store.keep(conversation, count: .all) { Data([1]) }
        }
        let kept = await store.list()
        XCTAssertEqual(kept.map(\.id), [id])
        XCTAssertEqual(kept.first?.turns, [turn])
        XCTAssertEqual(files(fixture).count, 2, "nothing of the new one")
    }

    func testNothingIsKeptUnlessTheUserWantsIt() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        try await asked(fixture, "What is this?")
        XCTAssertEqual(fixture.model.conversations, [])
        XCTAssertFalse(fixture.model.hasConversations)
        XCTAssertEqual(files(fixture), [])
    }

    func testConversationsAreKeptFoundContinuedAndDeleted() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        fixture.model.keeps = .all
        try await asked(fixture, "one?", "three?")
        await fixture.ask("And now?")
        await fixture.settleAll()
        XCTAssertEqual(fixture.model.conversations.map(\.title), ["three?", "one?"])
        XCTAssertEqual(fixture.model.conversations.first?.turns.map(\.question), ["three?", "And now?"])
        XCTAssertEqual(files(fixture).count, 4, "each with its picture")
        XCTAssertTrue(fixture.facts.value.keptFromBackup.contains("conversations"), "a backup may leave the phone")
        let first = try XCTUnwrap(fixture.model.conversations.last)
        XCTAssertTrue(fixture.model.canContinue(first))
        fixture.model.go(.conversations)
        await fixture.model.resume(first)
        await fixture.settleAll()
        XCTAssertEqual(fixture.model.screen, .chat)
        XCTAssertEqual(fixture.model.picture?.pixels.first.map { $0 >> 16 }, 4)
        XCTAssertEqual(fixture.model.session.turns.map(\.question), ["one?"])
        XCTAssertEqual(fixture.model.conversations.map(\.title), ["three?", "one?"], "reading changes nothing")
        await fixture.ask("And?")
        await fixture.settleAll()
        XCTAssertEqual(fixture.model.conversations.map(\.title), ["one?", "three?"], "it is continued, and newer")
        XCTAssertEqual(AppModel.text(of: fixture.model.session.turns), "one?\nyes\n\nAnd?\nyes")
        let next = AppModel(fixture.dependencies())
        await next.start()
        try await eventually("they are found again") { next.conversations.count == 2 }
        fixture.model.delete(first)
        await fixture.settleAll()
        XCTAssertEqual(fixture.model.conversations.map(\.title), ["three?"])
        fixture.model.keeps = .off
        await fixture.settleAll()
        XCTAssertTrue(fixture.model.hasConversations, "those there stay until they are deleted")
        fixture.model.deleteConversations()
        await fixture.settleAll()
        XCTAssertEqual(files(fixture), [])
        XCTAssertFalse(fixture.model.hasConversations)
    }

    func testAnotherModelCanOnlyReadIt() async throws {
        let fixture = try AppFixture()
        try await fixture.says("yes")
        try await fixture.start()
        fixture.model.keeps = .ten
        try await asked(fixture, "one?")
        let conversation = try XCTUnwrap(fixture.model.conversations.first)
        let other = try fixture.put("other", TestBundle(kitVersion: "0.2.0", largest: 1000))
        await fixture.model.library.refresh()
        fixture.model.use(other)
        await fixture.model.settle()
        XCTAssertFalse(fixture.model.canContinue(conversation))
        await fixture.model.resume(conversation)
        XCTAssertNil(fixture.model.picture)
    }

    func testOnlyTheNewestAreKept() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = ConversationStore(folder) { _ in }
        for number in 0..<12 {
            let turn = ChatTurn(question: "\(number)")
            let kept = KeptConversation(
                id: UUID(), date: Date(timeIntervalSince1970: Double(number)), model: "m", turns: [turn])
            await store.keep(kept, count: .ten) { Data([UInt8(number)]) }
        }
        var listed = await store.list()
        XCTAssertEqual(listed.map(\.title), (2..<12).reversed().map { "\($0)" })
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path).count, 20)
        let lost = KeptConversation(id: UUID(), date: .distantFuture, model: "m", turns: [ChatTurn(question: "?")])
        await store.keep(lost, count: .all) { throw PictureError("picture: can't be written") }
        listed = await store.list()
        XCTAssertEqual(listed.count, 10, "none without its picture")
        await store.prune(.off)
        listed = await store.list()
        XCTAssertEqual(listed.count, 10)
    }
}

extension AppFixture {
    fileprivate func settleAll() async {
        for _ in 0..<3 {
            await model.settle()
            await Task.yield()
        }
    }
}
