import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// Questions and answers, problems, and the next question.
struct ConversationPane: View {
    @Bindable var model: AppModel

    @State private var question = ""

    var body: some View {
        VStack(spacing: 8) {
            ScrollViewReader { scroll in
                ScrollView {
                    VStack(alignment: .leading, spacing: 8) {
                        if let notice = model.notice { NoticeView(model: model, notice: notice) { question = "" } }
                        if let warning = model.warning { Text(warning).font(.footnote).foregroundStyle(Color.problem) }
                        if let live = model.live {
                            LiveView(model: model, live: live)
                        } else if model.picture != nil {
                            turns
                        }
                        if let status = model.status { Text(status).foregroundStyle(.secondary) }
                        if let verified = model.session.verified { ProgressView(value: verified) }
                        if model.canAsk, !model.settings.presets.isEmpty { presets }
                        Color.clear.frame(height: 1).id(Self.end)
                    }
                    .frame(maxWidth: .infinity, alignment: .leading)
                }
                .onChange(of: model.session.turns) { scroll.scrollTo(Self.end, anchor: .bottom) }
            }
            if model.live == nil { input }
        }
        .padding(.bottom, 8)
        .onChange(of: model.refusedQuestion) {
            // It is restored to the field so that it can be shortened.
            if let refused = model.refusedQuestion, question.isEmpty { question = refused }
        }
        .alert(localizedString("speak_failed"), isPresented: $model.hasNoVoice) {}
    }

    private static let end = "end"

    private var turns: some View {
        ForEach(Array(model.session.turns.enumerated()), id: \.offset) { index, turn in
            TurnView(model: model, turn: turn, isLast: index == model.session.turns.count - 1)
        }
    }

    private var presets: some View {
        ScrollView(.horizontal, showsIndicators: false) {
            HStack(spacing: 8) {
                ForEach(model.settings.presets, id: \.self) { preset in
                    Button(preset) { Task { await model.ask(preset) } }.buttonStyle(.bordered)
                }
            }
        }
        .accessibilityElement(children: .contain)
        .accessibilityLabel(localizedString("presets_label"))
    }

    private var input: some View {
        HStack(alignment: .bottom, spacing: 8) {
            TextField(
                localizedString(model.picture == nil ? "question_hint_before" : "question_hint"), text: $question, axis: .vertical
            )
            .lineLimit(1...4)
            .textFieldStyle(.roundedBorder)
            if model.isBusy {
                Button(localizedString("stop"), action: model.stop).buttonStyle(.borderedProminent)
            } else {
                Button(localizedString("ask"), action: send).buttonStyle(.borderedProminent).disabled(!model.canAsk)
            }
        }
    }

    private func send() {
        Task {
            if await model.ask(question) { question = "" }
        }
    }
}

/// One question with its answer.
private struct TurnView: View {
    let model: AppModel
    let turn: ChatTurn
    let isLast: Bool

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            Text(LocalizedText("you", .text(turn.question))).font(.subheadline).foregroundStyle(.secondary)
            if !turn.answer.isEmpty { Text(turn.answer).font(.title3).textSelection(.enabled) }
            if let ending = model.ending(of: turn) { note(ending.localized) }
            let figures = model.figures(of: turn)
            if !figures.isEmpty { note(figures.map(\.localized).joined(separator: " · ")) }
            if turn.ended != nil {
                HStack {
                    if !turn.answer.isEmpty {
                        let isSpeaking = model.speaking == turn.answer
                        Button(localizedString(isSpeaking ? "speak_end" : "speak")) { model.speak(turn.answer) }
                            .accessibilityLabel(localizedString(isSpeaking ? "speak_end_label" : "speak_label"))
                    }
                    if isLast {
                        Button(localizedString("undo_question"), action: model.undo).accessibilityLabel(
                            localizedString("undo_question_label"))
                    }
                }
                .buttonStyle(.bordered)
            }
        }
        .card()
    }

    private func note(_ text: String) -> some View {
        Text(text).font(.footnote).foregroundStyle(.secondary)
    }
}

/// The newest answer of live mode, large, and how old its frame is.
private struct LiveView: View {
    let model: AppModel
    let live: LiveState

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            Text(live.question).font(.subheadline).foregroundStyle(.secondary)
            if !live.answer.isEmpty {
                Text(live.answer).font(.title).accessibilityAddTraits(.updatesFrequently)
            }
            TimelineView(.periodic(from: .now, by: 1)) { _ in
                Text(live.age(at: model.now)).font(.footnote).foregroundStyle(.secondary)
            }
        }
        .card()
    }
}

/// A problem and possible actions.
private struct NoticeView: View {
    let model: AppModel
    let notice: Notice
    let askAnew: () -> Void

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            Text(notice.title).font(.headline).accessibilityAddTraits(.isHeader)
            Text(notice.detail).foregroundStyle(Color.problem)
            ForEach(Array(notice.actions.enumerated()), id: \.offset) { _, action in
                Button(action.label.localized) { perform(action) }.buttonStyle(.bordered)
            }
        }
        .card(.problem)
    }

    private func perform(_ action: Notice.Action) {
        if case .newChat = action { askAnew() }
        model.perform(action)
    }
}
