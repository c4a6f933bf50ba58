import Foundation
import MobileVLMApp
import SwiftUI

/// Version, engine, licenses.
struct AboutView: View {
    var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(LocalizedText("about_text_ios", .text(version)))
                Text(LocalizedText("about_engine", .text("Core ML")))
                Text(notice).font(.footnote).foregroundStyle(.secondary).textSelection(.enabled)
            }
            .frame(maxWidth: 640, alignment: .leading)
            .padding()
            .frame(maxWidth: .infinity)
        }
        .navigationTitle(localizedString("about_title"))
    }

    private var version: String {
        Bundle.main.object(forInfoDictionaryKey: "CFBundleShortVersionString") as? String ?? ""
    }

    private var notice: String {
        guard let file = Bundle.main.url(forResource: "NOTICE", withExtension: "txt") else { return "" }
        return (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    }
}
