import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// "Check this phone": parity with the desktop, speed, and a capture to share.
struct CheckView: View {
    let model: AppModel

    @State private var isSharing = false

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(localizedString("check_about"))
                if model.check?.isRunning != true {
                    Button(localizedString("check_start")) { Task { await model.startCheck() } }
                        .buttonStyle(.borderedProminent)
                        .disabled(!model.canCheck)
                }
                if model.checkNeedsModel { Text(localizedString("check_needs_model")) }
                if let check = model.check { found(check) }
            }
            .frame(maxWidth: 640, alignment: .leading)
            .padding()
            .frame(maxWidth: .infinity)
        }
        .navigationTitle(localizedString("check_title"))
        .sheet(isPresented: $isSharing) {
            if let capture = model.check?.capture { ShareSheet(items: [capture]) }
        }
    }

    @ViewBuilder private func found(_ check: CheckState) -> some View {
        HStack(spacing: 8) {
            if check.isRunning || check.isCapturing { ProgressView() }
            Text(check.verdict).font(.headline)
        }
        if let failure = check.failure { Text(model.plain(failure)).foregroundStyle(Color.problem) }
        if !check.figures.isEmpty {
            VStack(alignment: .leading, spacing: 4) {
                ForEach(check.figures.map(\.localized), id: \.self) { figure in Text(figure) }
            }
            .card()
        }
        if check.canCapture {
            Button(localizedString("check_share")) {
                Task {
                    await model.makeCapture()
                    isSharing = model.check?.capture != nil
                }
            }
            .buttonStyle(.borderedProminent)
            Text(localizedString("check_share_detail")).font(.footnote).foregroundStyle(.secondary)
        }
        ForEach(Array(check.findings.enumerated()), id: \.offset) { _, finding in
            let line = CheckState.line(finding).localized + (finding.same ? "" : "\n\(finding.detail)")
            Text("\(finding.same ? "✓" : "✗") \(line)")
                .font(.footnote)
                .foregroundStyle(finding.same ? Color.primary : Color.problem)
                .accessibilityLabel(line)
        }
    }
}
