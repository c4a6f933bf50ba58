import MobileVLMApp
import SwiftUI
import UIKit

/// The camera, or a picture with its conversation.
struct ChatView: View {
    @Bindable var model: AppModel
    let camera: PhoneCamera

    @State private var image: CGImage?
    @State private var isSharing = false

    var body: some View {
        Group {
            if model.picture == nil {
                CameraView(model: model, camera: camera)
            } else {
                ConversationView(model: model, image: image)
            }
        }
        .navigationTitle(model.session.bundle ?? localizedString("app_name"))
        .navigationBarTitleDisplayMode(.inline)
        .toolbarBackground(.ultraThinMaterial, for: .navigationBar)
        .toolbarBackground(.visible, for: .navigationBar)
        .toolbarColorScheme(model.picture == nil ? .dark : nil, for: .navigationBar)
        .toolbar {
            ToolbarItem(placement: .topBarLeading) { back }
            ToolbarItem(placement: .topBarTrailing) { torch }
            ToolbarItem(placement: .topBarTrailing) { menu }
        }
        .task(id: model.pictureNumber) {
            image = nil
            if let picture = model.picture { image = await Photos.shown(picture) }
        }
        .sheet(isPresented: $isSharing) {
            ShareSheet(items: [AppModel.text(of: model.session.turns)] + (image.map { [UIImage(cgImage: $0)] } ?? []))
        }
        .alert(localizedString("speak_failed"), isPresented: $model.hasNoVoice) {}
    }

    @ViewBuilder private var back: some View {
        if model.picture != nil {
            Button(action: model.newPicture) { Image(systemName: "camera") }
                .accessibilityLabel(localizedString("new_picture"))
        } else if model.hasPrevious {
            Button {
                Task { await model.undoPicture() }
            } label: {
                Image(systemName: "arrow.uturn.backward")
            }
            .accessibilityLabel(localizedString("undo_picture_label"))
        }
    }

    @ViewBuilder private var torch: some View {
        if model.camera == .open, model.cameraAbilities.hasTorch {
            Button(action: model.turnTorch) {
                Image(systemName: model.controls.isTorchOn ? "bolt.fill" : "bolt.slash")
            }
            .accessibilityLabel(localizedString(model.controls.isTorchOn ? "torch_off" : "torch_on"))
        }
    }

    private var menu: some View {
        Menu {
            if model.picture != nil, !model.session.turns.isEmpty {
                Button(localizedString("new_chat")) { model.newChat() }
                Button(localizedString("share_conversation")) { isSharing = true }
            }
            if model.hasConversations {
                Button(localizedString("conversations")) { model.go(.conversations) }
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
