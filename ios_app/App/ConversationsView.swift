import CoreGraphics
import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The conversations that the user keeps: to continue, read or delete.
struct ConversationsView: View {
    let model: AppModel

    @State private var isDeleting = false
    @State private var toRead: KeptConversation?

    var body: some View {
        List {
            ForEach(model.conversations) { conversation in
                Button {
                    if model.canContinue(conversation) {
                        Task { await model.resume(conversation) }
                    } else {
                        toRead = conversation
                    }
                } label: {
                    ConversationRow(model: model, conversation: conversation)
                }
                .swipeActions {
                    Button(localizedString("bundle_delete"), role: .destructive) { model.delete(conversation) }
                }
            }
            Section {
                Text(localizedString("kept_here")).font(.footnote).foregroundStyle(.secondary)
                if !model.conversations.isEmpty {
                    Button(localizedString("delete_all"), role: .destructive) { isDeleting = true }
                }
            }
        }
        .navigationTitle(localizedString("conversations"))
        .alert(localizedString("delete_all"), isPresented: $isDeleting) {
            Button(localizedString("delete_all"), role: .destructive) { model.deleteConversations() }
            Button(localizedString("cancel"), role: .cancel) {}
        }
        .sheet(item: $toRead) { conversation in
            ScrollView {
                VStack(alignment: .leading, spacing: 12) {
                    Button(localizedString("close")) { toRead = nil }
                    ConversationRow(model: model, conversation: conversation)
                    ForEach(Array(conversation.turns.enumerated()), id: \.offset) { _, turn in
                        TurnView(model: model, turn: turn, isLast: false)
                    }
                }
                .padding()
            }
        }
    }
}

private struct ConversationRow: View {
    let model: AppModel
    let conversation: KeptConversation

    @State private var image: CGImage?

    var body: some View {
        HStack(spacing: 12) {
            ZStack {
                Color.secondary.opacity(0.2)
                if let image { Image(image, scale: 1, label: Text("")).resizable().scaledToFill() }
            }
            .frame(width: 64, height: 64)
            .clipShape(RoundedRectangle(cornerRadius: 8))
            .accessibilityHidden(true)
            VStack(alignment: .leading, spacing: 4) {
                Text(conversation.title).font(.headline)
                Text(conversation.date.formatted(date: .abbreviated, time: .shortened))
                    .font(.footnote).foregroundStyle(.secondary)
            }
        }
        .task { image = await Photos.thumbnail(model.picture(of: conversation)) }
    }
}
