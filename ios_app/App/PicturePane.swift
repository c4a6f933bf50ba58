import MobileVLMApp
import MobileVLMCore
import PhotosUI
import SwiftUI
import UIKit

/// The camera preview or the picture, with its actions.
struct PicturePane: View {
    let model: AppModel
    let camera: PhoneCamera

    @Environment(\.openURL) private var openURL
    @State private var image: CGImage?
    @State private var photo: PhotosPickerItem?
    @State private var isAskingLive = false
    @State private var liveQuestion = ""

    var body: some View {
        VStack(spacing: 8) {
            ZStack {
                Color.black
                if model.picture != nil {
                    if let image {
                        Image(image, scale: 1, label: Text(localizedString("picture_label"))).resizable().scaledToFit()
                    }
                } else if model.camera == .open {
                    CameraPreview(camera: camera)
                        .accessibilityElement().accessibilityAddTraits(.isImage).accessibilityLabel(
                            localizedString("preview_label"))
                }
                if let notice = model.pictureNotice { noticeBox(notice) }
            }
            .clipShape(RoundedRectangle(cornerRadius: 14))
            .frame(maxWidth: .infinity, maxHeight: .infinity)
            buttons
        }
        .task(id: model.pictureNumber) {
            image = nil
            if let picture = model.picture { image = await Photos.image(of: picture) }
        }
        .onChange(of: photo) {
            guard let chosen = photo else { return }
            photo = nil
            Task {
                await model.pick { try await chosen.loadTransferable(type: Data.self) ?? Data() }
            }
        }
        .alert(localizedString("live_title"), isPresented: $isAskingLive) {
            TextField(localizedString("live_question"), text: $liveQuestion)
            Button(localizedString("live_start")) { model.startLive(liveQuestion) }
            Button(localizedString("cancel"), role: .cancel) {}
        } message: {
            Text(localizedString("live_question"))
        }
    }

    private func noticeBox(_ notice: PictureNotice) -> some View {
        VStack(spacing: 12) {
            Text(notice.text)
            if let detail = notice.detail { Text(detail) }
            if let action = notice.action {
                Button(action.label.localized) { perform(action) }.buttonStyle(.borderedProminent)
            }
        }
        .multilineTextAlignment(.center)
        .foregroundStyle(.white)
        .padding(24)
        .background(.black.opacity(0.7), in: RoundedRectangle(cornerRadius: 14))
    }

    private func perform(_ action: PictureNotice.Action) {
        if action == .openSystemSettings {
            if let settings = URL(string: UIApplication.openSettingsURLString) { openURL(settings) }
        } else {
            Task { await model.perform(action) }
        }
    }

    @ViewBuilder private var buttons: some View {
        HStack(spacing: 12) {
            if model.live != nil {
                Button(localizedString("live_end"), action: model.endLive).buttonStyle(.borderedProminent)
            } else if model.picture != nil {
                Button(localizedString("new_picture"), action: model.newPicture).buttonStyle(.bordered)
            } else {
                PhotosPicker(localizedString("pick_photo"), selection: $photo, matching: .images)
                    .buttonStyle(.bordered)
                    .accessibilityLabel(localizedString("pick_photo_label"))
                if model.camera == .open {
                    Button(action: model.pressShutter) {
                        Image(systemName: "camera.circle.fill").font(.system(size: 56))
                    }
                    .accessibilityLabel(localizedString("shutter"))
                    Button(localizedString("live")) {
                        liveQuestion = model.settings.liveQuestion
                        isAskingLive = true
                    }
                    .buttonStyle(.bordered)
                    .accessibilityLabel(localizedString("live_label"))
                }
                if model.hasPrevious {
                    Button(localizedString("undo_picture"), action: model.undoPicture)
                        .buttonStyle(.bordered)
                        .accessibilityLabel(localizedString("undo_picture_label"))
                }
            }
        }
        .frame(minHeight: 56)
    }
}
