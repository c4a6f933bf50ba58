import MobileVLMApp
import MobileVLMCore
import SwiftUI
import UIKit

/// The picture, and below it or beside it what was said about it, and the next question.
struct ConversationView: View {
    let model: AppModel
    let image: CGImage?

    @State private var question = ""
    @State private var isEnlarged = false
    @FocusState private var isTyping: Bool

    var body: some View {
        GeometryReader { room in
            let insets = room.safeAreaInsets
            let isWide = ScreenShape.isWide(
                width: room.size.width, height: room.size.height, insets: insets.top + insets.bottom)
            let layout = isWide ? AnyLayout(HStackLayout(spacing: 0)) : AnyLayout(VStackLayout(spacing: 0))
            let height = ScreenShape.pictureHeight(room.size.height + insets.bottom, isTyping: isTyping)
            layout {
                picture
                    .frame(maxWidth: .infinity, maxHeight: isWide ? .infinity : height)
                VStack(spacing: 8) {
                    conversation
                    input
                }
                .padding(.horizontal, 12)
                .padding(.bottom, 8)
                .frame(maxWidth: .infinity)
            }
        }
        .onChange(of: model.refusedQuestion) {
            // It is restored to the field so that it can be shortened.
            if let refused = model.refusedQuestion, question.isEmpty { question = refused }
        }
        .fullScreenCover(isPresented: $isEnlarged) { EnlargedPicture(model: model) }
    }

    private var picture: some View {
        Button {
            isEnlarged = true
        } label: {
            ZStack {
                Color.black
                if let image {
                    Image(image, scale: 1, label: Text(localizedString("picture_label"))).resizable().scaledToFit()
                }
                if model.pictureNotice != nil { ProgressView() }
            }
        }
        .accessibilityLabel(localizedString("picture_label"))
        .accessibilityHint(localizedString("enlarge"))
    }

    private var conversation: some View {
        ScrollViewReader { scroll in
            ScrollView {
                VStack(alignment: .leading, spacing: 12) {
                    ForEach(Array(model.session.turns.enumerated()), id: \.offset) { index, turn in
                        TurnView(model: model, turn: turn, isLast: index == model.session.turns.count - 1)
                    }
                    if let notice = model.notice { NoticeView(model: model, notice: notice) { question = "" } }
                    StatusView(model: model)
                    if question.isEmpty, !model.suggestions.isEmpty { suggestions }
                    Color.clear.frame(height: 1).id(Self.end)
                }
                .padding(.top, 12)
                .frame(maxWidth: .infinity, alignment: .leading)
            }
            .onChange(of: model.session.turns) { scroll.scrollTo(Self.end, anchor: .bottom) }
        }
    }

    private static let end = "end"

    private var suggestions: some View {
        ScrollView(.horizontal, showsIndicators: false) {
            HStack(spacing: 8) {
                ForEach(model.suggestions, id: \.self) { suggestion in
                    Button(suggestion) { Task { await model.ask(suggestion) } }.buttonStyle(.bordered)
                }
            }
        }
        .accessibilityElement(children: .contain)
        .accessibilityLabel(localizedString("presets_label"))
    }

    private var input: some View {
        HStack(alignment: .bottom, spacing: 8) {
            TextField(localizedString("question_hint"), text: $question, axis: .vertical)
                .lineLimit(1...4)
                .textFieldStyle(.roundedBorder)
                .submitLabel(.send)
                .focused($isTyping)
                .onChange(of: question) {
                    // Enter sends; a field of several lines would take it as a line's end.
                    guard question.last?.isNewline == true else { return }
                    question.removeLast()
                    send()
                }
            if model.isBusy {
                Button(action: model.stop) { icon("stop.circle.fill") }.accessibilityLabel(localizedString("stop"))
            } else {
                Button(action: send) { icon("arrow.up.circle.fill") }
                    .disabled(!model.canAsk || question.isEmpty)
                    .accessibilityLabel(localizedString("send"))
            }
        }
    }

    private func icon(_ name: String) -> some View {
        Image(systemName: name).font(.system(size: 32)).frame(width: 44, height: 44)
    }

    private func send() {
        Task {
            if await model.ask(question) { question = "" }
        }
    }
}

/// One question with its answer, as bubbles.
struct TurnView: View {
    let model: AppModel
    let turn: ChatTurn
    let isLast: Bool

    @State private var isOpen = false
    @State private var isCopied = false

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            bubble(Text(turn.question), .tint, isMine: true)
                .accessibilityLabel(LocalizedText("you", .text(turn.question)).localized)
            if !turn.answer.isEmpty { bubble(Text(turn.answer), .secondary, isMine: false).textSelection(.enabled) }
            if let ending = model.ending(of: turn) { note(ending.localized) }
            if isLast, turn.ended != nil { actions }
            details
        }
    }

    private func bubble(_ text: Text, _ color: some ShapeStyle, isMine: Bool) -> some View {
        text
            .padding(.horizontal, 14)
            .padding(.vertical, 10)
            .background(color.opacity(0.15), in: RoundedRectangle(cornerRadius: 18))
            .frame(maxWidth: 560, alignment: isMine ? .trailing : .leading)
            .frame(maxWidth: .infinity, alignment: isMine ? .trailing : .leading)
    }

    @ViewBuilder private var actions: some View {
        HStack(spacing: 4) {
            if !turn.answer.isEmpty {
                let isSpeaking = model.speaking == turn.answer
                Button {
                    model.speak(turn.answer)
                } label: {
                    icon(isSpeaking ? "stop.fill" : "speaker.wave.2")
                }
                .accessibilityLabel(localizedString(isSpeaking ? "speak_end_label" : "speak_label"))
                Button {
                    UIPasteboard.general.string = turn.answer
                    isCopied = true
                } label: {
                    icon(isCopied ? "checkmark" : "doc.on.doc")
                }
                .accessibilityLabel(localizedString(isCopied ? "copied" : "copy"))
                ShareLink(item: turn.answer) { icon("square.and.arrow.up") }
                    .accessibilityLabel(localizedString("share"))
            }
            Button(action: model.undo) { icon("arrow.uturn.backward") }
                .accessibilityLabel(localizedString("undo_question_label"))
        }
    }

    @ViewBuilder private var details: some View {
        let figures = model.figures(of: turn).map(\.localized).joined(separator: " · ")
        if model.settings.showsStats, !figures.isEmpty {
            note(figures)
        } else if !figures.isEmpty {
            DisclosureGroup(localizedString("details"), isExpanded: $isOpen) { note(figures) }
                .font(.footnote)
                .foregroundStyle(.secondary)
        }
    }

    private func icon(_ name: String) -> some View { Image(systemName: name).frame(width: 44, height: 44) }

    private func note(_ text: String) -> some View {
        Text(text).font(.footnote).foregroundStyle(.secondary)
    }
}
