import MobileVLMApp
import SwiftUI

/// The question of live mode, which can be edited or chosen.
struct LiveQuestion: View {
    let model: AppModel
    @Binding var question: String
    let isTyping: FocusState<Bool>.Binding

    var body: some View {
        HStack(spacing: 8) {
            TextField(localizedString("live_question"), text: $question)
                .submitLabel(.done)
                .focused(isTyping)
                .onSubmit { model.liveQuestion = question }
                .accessibilityLabel(localizedString("live_question"))
            Menu {
                ForEach(model.settings.presets + [Settings.hazardQuestion], id: \.self) { preset in
                    Button(preset) { model.liveQuestion = preset }
                }
            } label: {
                Image(systemName: "text.bubble").frame(width: 44, height: 44)
            }
            .accessibilityLabel(localizedString("presets_label"))
        }
        .padding(.leading, 16)
        .background(.regularMaterial, in: Capsule())
        .onChange(of: model.liveQuestion, initial: true) { question = model.liveQuestion }
    }
}

/// The newest answer of live mode over the picture, and how old its frame is.
struct LiveCard: View {
    let model: AppModel
    let live: LiveState

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            if !live.answer.isEmpty {
                Text(live.answer).font(.title2).accessibilityAddTraits(.updatesFrequently)
            }
            TimelineView(.periodic(from: .now, by: 1)) { _ in
                Text(live.age(at: model.now)).font(.footnote).foregroundStyle(.secondary)
            }
        }
        .padding(16)
        .frame(maxWidth: 640, alignment: .leading)
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
    }
}
