import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The bundles on this phone, to use, delete or import.
struct BundlesView: View {
    let model: AppModel
    let chooseBundle: @MainActor () -> Void

    @State private var toDelete: StoredBundle?
    @State private var isDeleting = false

    var body: some View {
        List {
            ForEach(model.library.bundles) { bundle in row(bundle) }
            Section {
                ImportView(library: model.library)
                Button(localizedString("choose_bundle"), action: chooseBundle).disabled(model.library.importing != nil)
                Text(localizedString("welcome_copy")).font(.footnote).foregroundStyle(.secondary)
                Button(localizedString("look_again"), action: model.refresh)
            }
        }
        .navigationTitle(localizedString("bundles_title"))
        .refreshable { await model.library.refresh() }
        .alert(localizedString("bundle_delete"), isPresented: $isDeleting, presenting: toDelete) { bundle in
            Button(localizedString("bundle_delete"), role: .destructive) { Task { await model.delete(bundle) } }
            Button(localizedString("cancel"), role: .cancel) {}
        } message: { bundle in
            Text(LocalizedText("bundle_delete_ask", .text(bundle.name), .bytes(bundle.bytes)))
        }
    }

    private func row(_ bundle: StoredBundle) -> some View {
        VStack(alignment: .leading, spacing: 6) {
            Text(bundle.name).font(.headline)
            Text(line(bundle)).font(.footnote).foregroundStyle(.secondary)
            if let problem = bundle.problem { Text(problem).font(.footnote).foregroundStyle(Color.problem) }
            HStack {
                if bundle.name == model.session.bundle {
                    Text(localizedString("bundle_in_use")).foregroundStyle(.tint)
                } else if bundle.manifest != nil {
                    Button(localizedString("bundle_use")) { model.use(bundle) }
                        .buttonStyle(.borderedProminent)
                        .accessibilityLabel(LocalizedText("bundle_use_named", .text(bundle.name)).localized)
                }
                Button(localizedString("bundle_delete"), role: .destructive) {
                    toDelete = bundle
                    isDeleting = true
                }
                .buttonStyle(.bordered)
                .accessibilityLabel(LocalizedText("bundle_delete_named", .text(bundle.name)).localized)
            }
        }
    }

    private func line(_ bundle: StoredBundle) -> String {
        let size = LocalizedText.Value.bytes(bundle.bytes)
        let date = LocalizedText.Value.text(bundle.added.formatted(date: .abbreviated, time: .omitted))
        let recipe = LocalizedText.Value.text(bundle.manifest == nil ? localizedString("bundle_unreadable") : bundle.recipe)
        return LocalizedText("bundle_line", size, date, recipe).localized
    }
}
