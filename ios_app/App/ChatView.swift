import MobileVLMApp
import SwiftUI

/// Picture and conversation: one above the other, or side by side on wide screens.
struct ChatView: View {
    let model: AppModel
    let camera: PhoneCamera

    var body: some View {
        GeometryReader { room in
            let isWide = room.size.width > room.size.height
            let layout = isWide ? AnyLayout(HStackLayout(spacing: 12)) : AnyLayout(VStackLayout(spacing: 4))
            layout {
                PicturePane(model: model, camera: camera)
                ConversationPane(model: model)
            }
            .padding(.horizontal, 12)
        }
        .navigationTitle(model.session.bundle ?? localizedString("app_name"))
        .navigationBarTitleDisplayMode(.inline)
        .toolbar {
            ToolbarItem(placement: .topBarTrailing) { menu }
        }
    }

    private var menu: some View {
        Menu {
            if !model.session.turns.isEmpty {
                Button(localizedString("new_chat")) { model.newChat() }
            }
            Button(localizedString("menu_models")) { model.go(.bundles) }
            Button(localizedString("menu_check")) { model.go(.check) }
            Button(localizedString("menu_settings")) { model.go(.settings) }
            Button(localizedString("menu_about")) { model.go(.about) }
        } label: {
            Image(systemName: "ellipsis.circle")
        }
        .accessibilityLabel(localizedString("menu"))
    }
}
