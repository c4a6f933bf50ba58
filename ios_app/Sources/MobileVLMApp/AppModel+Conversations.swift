import Foundation
import MobileVLMCore

/// Conversations that the user keeps, and their texts to share.
extension AppModel {
    /// How many conversations are kept. Fewer than before deletes the oldest.
    public var keeps: KeptCount {
        get { settings.keeps }
        set {
            change { $0.keeps = newValue }
            saves.enqueue { [kept] in await kept.prune(newValue) }
            listConversations()
        }
    }

    /// Whether there is a list to show.
    public var hasConversations: Bool { settings.keeps != .off || !conversations.isEmpty }

    func listConversations() {
        let listing = saves.enqueue { [kept] in await kept.list() }
        Task { conversations = await listing.value }
    }

    /// Keeps the finished answers about the picture, if the user wants it.
    func keepConversation() {
        // A state that the session made before it saw the picture is about another.
        guard settings.keeps != .off, let viewing, let picture, let model = loadedID, session.picture != pictureBefore,
            session.turns.last?.ended != nil
        else { return }
        let said = session.turns.filter { $0.ended != nil && $0.ended != .failed }
        guard !said.isEmpty, said != viewing.said else { return }
        let conversation = KeptConversation(id: viewing.conversation, date: Date(), model: model, turns: said)
        saves.enqueue { [kept, count = settings.keeps, encode = dependencies.encodePhoto] in
            await kept.keep(conversation, count: count) { try encode(picture) }
        }
        listConversations()
    }

    /// The picture's file, for a thumbnail.
    public func picture(of conversation: KeptConversation) -> URL {
        ConversationStore.picture(of: conversation.id, in: dependencies.conversations)
    }

    /// Whether the loaded model can continue it; others can only be read.
    public func canContinue(_ conversation: KeptConversation) -> Bool { conversation.model == loadedID }

    /// Shows the picture of `conversation`, and continues it.
    public func resume(_ conversation: KeptConversation) async {
        guard canContinue(conversation) else { return }
        go(.chat)
        let file = picture(of: conversation)
        await view {
            Viewing(shot: .photo(try Data(contentsOf: file)), said: conversation.turns, conversation: conversation.id)
        }
    }

    public func delete(_ conversation: KeptConversation) {
        saves.enqueue { [kept] in await kept.remove(conversation.id) }
        listConversations()
    }

    public func deleteConversations() {
        saves.enqueue { [kept] in
            for conversation in await kept.list() { await kept.remove(conversation.id) }
        }
        listConversations()
    }

    private var loadedID: String? { library.bundles.first { $0.name == session.bundle }?.manifest?.id }

    /// The questions and answers of `turns` as a text to share.
    public static func text(of turns: [ChatTurn]) -> String {
        turns.filter { !$0.answer.isEmpty }.map { "\($0.question)\n\($0.answer)" }.joined(separator: "\n\n")
    }
}
