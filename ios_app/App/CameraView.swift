import AVKit
import MobileVLMApp
import MobileVLMCore
import PhotosUI
import SwiftUI
import UIKit

/// The viewfinder over the whole screen, the shutter, and live mode.
struct CameraView: View {
    @Bindable var model: AppModel
    let camera: PhoneCamera

    @Environment(\.openURL) private var openURL
    @State private var photo: PhotosPickerItem?
    @State private var shots = 0
    @State private var liveQuestion = ""
    @FocusState private var isTyping: Bool

    var body: some View {
        GeometryReader { room in
            let insets = room.safeAreaInsets
            let isWide = ScreenShape.isWide(
                width: room.size.width, height: room.size.height, insets: insets.top + insets.bottom)
            let layout = isWide ? AnyLayout(HStackLayout(spacing: 0)) : AnyLayout(VStackLayout(spacing: 0))
            ZStack {
                Viewfinder(model: model, camera: camera).ignoresSafeArea()
                layout {
                    VStack(spacing: 12) {
                        // Large texts may be higher than the screen.
                        ViewThatFits(in: .vertical) {
                            messages
                            ScrollView { messages }
                        }
                        if model.isLiveMode, isWide { question }
                    }
                    .frame(maxWidth: .infinity)
                    .padding(12)
                    controls(isWide)
                }
            }
        }
        .background(.black)
        // A picture is behind everything, also by day.
        .environment(\.colorScheme, .dark)
        .accessibilityAction(.magicTap) { press() }
        // The volume buttons and Camera Control.
        .onCameraCaptureEvent { event in
            if event.phase == .ended { press() }
        }
        .onChange(of: photo) {
            guard let chosen = photo else { return }
            photo = nil
            Task {
                await model.pick { try await chosen.loadTransferable(type: Data.self) ?? Data() }
            }
        }
        .sensoryFeedback(.impact, trigger: shots)
        .sensoryFeedback(.success, trigger: model.live?.isWhole == true) { _, isWhole in isWhole }
    }

    private var messages: some View {
        VStack(spacing: 12) {
            if let notice = model.notice { NoticeView(model: model, notice: notice) }
            if let notice = model.pictureNotice { noticeBox(notice) }
            Spacer(minLength: 0)
            if let live = model.live { LiveCard(model: model, live: live) }
            StatusView(model: model)
        }
        .frame(maxWidth: .infinity)
    }

    private var question: some View { LiveQuestion(model: model, question: $liveQuestion, isTyping: $isTyping) }

    private func noticeBox(_ notice: PictureNotice) -> some View {
        VStack(spacing: 12) {
            Text(notice.text)
            if let detail = notice.detail { Text(detail) }
            if let action = notice.action {
                Button(action.label.localized) { perform(action) }.buttonStyle(.borderedProminent)
            }
        }
        .multilineTextAlignment(.center)
        .padding(24)
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
    }

    private func perform(_ action: PictureNotice.Action) {
        if action == .openSystemSettings {
            if let settings = URL(string: UIApplication.openSettingsURLString) { openURL(settings) }
        } else {
            Task { await model.perform(action) }
        }
    }

    // MARK: - the bar of the shutter

    private func controls(_ isWide: Bool) -> some View {
        let across = isWide ? AnyLayout(VStackLayout(spacing: 16)) : AnyLayout(HStackLayout(spacing: 16))
        return VStack(spacing: 12) {
            if model.isLiveMode, !isWide { question }
            Picker(localizedString("live_title"), selection: $model.isLiveMode) {
                Text(localizedString("pick_photo")).tag(false)
                Text(localizedString("live")).tag(true)
            }
            .pickerStyle(.segmented)
            .frame(maxWidth: 220)
            across {
                PhotosPicker(selection: $photo, matching: .images) { icon("photo.on.rectangle") }
                    .accessibilityLabel(localizedString("pick_photo_label"))
                Spacer(minLength: 0)
                shutter
                Spacer(minLength: 0)
                Button(action: model.switchCamera) { icon("arrow.triangle.2.circlepath.camera") }
                    .opacity(model.cameraAbilities.canSwitch ? 1 : 0)
                    .disabled(!model.cameraAbilities.canSwitch)
                    .accessibilityLabel(localizedString("switch_camera"))
                    .accessibilityHidden(!model.cameraAbilities.canSwitch)
            }
        }
        .padding(16)
        .frame(maxWidth: isWide ? 260 : .infinity, maxHeight: isWide ? .infinity : nil)
        .background(.ultraThinMaterial)
    }

    private var shutter: some View {
        Button(action: press) {
            ZStack {
                Circle().strokeBorder(.white, lineWidth: 4).frame(width: 72, height: 72)
                if model.isLiveMode {
                    RoundedRectangle(cornerRadius: model.live == nil ? 29 : 8).fill(.red)
                        .frame(width: model.live == nil ? 58 : 30, height: model.live == nil ? 58 : 30)
                } else {
                    Circle().fill(.white).frame(width: 58, height: 58)
                }
            }
        }
        .disabled(model.camera != .open)
        .accessibilityLabel(
            localizedString(!model.isLiveMode ? "shutter" : model.live == nil ? "live_label" : "live_end"))
    }

    private func press() {
        guard model.camera == .open else { return }
        shots += 1
        isTyping = false
        if !model.isLiveMode {
            model.pressShutter()
        } else if model.live == nil {
            model.startLive(asking: liveQuestion)
        } else {
            model.endLive()
        }
    }

    private func icon(_ name: String) -> some View {
        Image(systemName: name).font(.system(size: 24)).frame(width: 56, height: 56)
    }
}
