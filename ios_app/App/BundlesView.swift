import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The bundles on this phone: use one, delete one, import another.
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
                Button(say("choose_bundle"), action: chooseBundle).disabled(model.library.importing != nil)
                Text(say("welcome_copy")).font(.footnote).foregroundStyle(.secondary)
                Button(say("look_again"), action: model.refresh)
            }
        }
        .navigationTitle(say("bundles_title"))
        .refreshable { await model.library.refresh() }
        .alert(say("bundle_delete"), isPresented: $isDeleting, presenting: toDelete) { bundle in
            Button(say("bundle_delete"), role: .destructive) { Task { await model.delete(bundle) } }
            Button(say("cancel"), role: .cancel) {}
        } message: { bundle in
            Text(Words("bundle_delete_ask", .text(bundle.name), .bytes(bundle.bytes)))
        }
    }

    private func row(_ bundle: StoredBundle) -> some View {
        VStack(alignment: .leading, spacing: 6) {
            Text(bundle.name).font(.headline)
            Text(line(bundle)).font(.footnote).foregroundStyle(.secondary)
            if let problem = bundle.problem { Text(problem).font(.footnote).foregroundStyle(Color.problem) }
            HStack {
                if bundle.name == model.session.bundle {
                    Text(say("bundle_in_use")).foregroundStyle(.tint)
                } else if bundle.manifest != nil {
                    Button(say("bundle_use")) { model.use(bundle) }
                        .buttonStyle(.borderedProminent)
                        .accessibilityLabel(Words("bundle_use_named", .text(bundle.name)).localized)
                }
                Button(say("bundle_delete"), role: .destructive) {
                    toDelete = bundle
                    isDeleting = true
                }
                .buttonStyle(.bordered)
                .accessibilityLabel(Words("bundle_delete_named", .text(bundle.name)).localized)
            }
        }
    }

    private func line(_ bundle: StoredBundle) -> String {
        let size = Words.Value.bytes(bundle.bytes)
        let date = Words.Value.text(bundle.added.formatted(date: .abbreviated, time: .omitted))
        let recipe = Words.Value.text(bundle.manifest == nil ? say("bundle_unreadable") : bundle.recipe)
        return Words("bundle_line", size, date, recipe).localized
    }
}
