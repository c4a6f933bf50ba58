import MobileVLMApp
import SwiftUI

/// What the app is doing, if it isn't ready.
struct StatusView: View {
    let model: AppModel

    var body: some View {
        if model.status != nil || model.warning != nil {
            VStack(alignment: .leading, spacing: 6) {
                if let status = model.status { Text(status) }
                if let verified = model.session.verified { ProgressView(value: verified) }
                if let warning = model.warning { Text(warning).foregroundStyle(Color.problem) }
            }
            .font(.footnote)
            .padding(10)
            .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
        }
    }
}

/// A problem and possible actions.
struct NoticeView: View {
    let model: AppModel
    let notice: Notice
    var forgetQuestion: () -> Void = {}

    var body: some View {
        VStack(alignment: .leading, spacing: 8) {
            Text(notice.title).font(.headline).accessibilityAddTraits(.isHeader)
            Text(notice.detail).foregroundStyle(Color.problem)
            ForEach(Array(notice.actions.enumerated()), id: \.offset) { _, action in
                Button(action.label.localized) { perform(action) }.buttonStyle(.bordered)
                if let note = action.note { Text(note).font(.footnote).foregroundStyle(.secondary) }
            }
        }
        .padding(16)
        .frame(maxWidth: 640, alignment: .leading)
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
    }

    private func perform(_ action: Notice.Action) {
        if case .newChat = action { forgetQuestion() }
        model.perform(action)
    }
}
