import MobileVLMApp
import SwiftUI

/// The first screen: introduces the app, and imports a bundle.
struct WelcomeView: View {
    let model: AppModel
    let chooseBundle: @MainActor () -> Void

    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(localizedString("welcome_private_ios")).font(.title3).card()
                ImportView(library: model.library)
                if model.library.importing == nil {
                    if model.hasPacked {
                        Button(localizedString("use_packed")) { Task { await model.importPacked() } }.buttonStyle(
                            .borderedProminent)
                    }
                    Text(localizedString("welcome_choose"))
                    Button(localizedString("choose_bundle"), action: chooseBundle).buttonStyle(.borderedProminent)
                    Text(localizedString("welcome_copy"))
                    Button(localizedString("look_again"), action: model.refresh).buttonStyle(.bordered)
                }
                Button(localizedString("menu_about")) { model.go(.about) }.buttonStyle(.bordered)
            }
            .frame(maxWidth: 640, alignment: .leading)
            .padding()
            .frame(maxWidth: .infinity)
        }
        .navigationTitle(localizedString("welcome_title"))
    }
}

/// A running import, or why it failed.
struct ImportView: View {
    let library: BundleLibrary

    var body: some View {
        if let importing = library.importing {
            VStack(alignment: .leading, spacing: 8) {
                Text(LocalizedText("import_title", .text(importing.name)))
                if let progress = importing.progress {
                    ProgressView(value: progress)
                    Text(LocalizedText("import_progress", .count(Int(progress * 100)))).font(.footnote).foregroundStyle(
                        .secondary)
                } else {
                    ProgressView()
                    Text(localizedString("import_begins")).font(.footnote).foregroundStyle(.secondary)
                }
                Button(localizedString("cancel"), action: library.cancel).buttonStyle(.bordered)
            }
            .accessibilityElement(children: .contain)
            .card()
        }
        if let problem = library.problem {
            VStack(alignment: .leading, spacing: 8) {
                Text(localizedString("import_failed")).font(.headline)
                Text(problem).foregroundStyle(Color.problem)
            }
            .card(.problem)
        }
    }
}

extension View {
    /// Puts the view on a rounded surface of `color`.
    func card(_ color: Color = .secondary) -> some View {
        padding(12)
            .frame(maxWidth: .infinity, alignment: .leading)
            .background(color.opacity(0.12), in: RoundedRectangle(cornerRadius: 14))
    }
}
