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

    var body: some View {
        GeometryReader { room in
            let isWide = room.size.width > room.size.height
            let layout = isWide ? AnyLayout(HStackLayout(spacing: 0)) : AnyLayout(VStackLayout(spacing: 0))
            ZStack {
                Viewfinder(model: model, camera: camera).ignoresSafeArea()
                layout {
                    VStack(spacing: 12) {
                        if let notice = model.notice { NoticeView(model: model, notice: notice) }
                        if let notice = model.pictureNotice { noticeBox(notice) }
                        Spacer(minLength: 0)
                        if let live = model.live { LiveCard(model: model, live: live) }
                        StatusView(model: model)
                    }
                    .frame(maxWidth: .infinity)
                    .padding(12)
                    controls(isWide)
                }
            }
        }
        .background(.black)
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
            if model.isLiveMode { LiveQuestion(model: model) }
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
        Button {
            shots += 1
            if !model.isLiveMode {
                model.pressShutter()
            } else if model.live == nil {
                model.startLive()
            } else {
                model.endLive()
            }
        } label: {
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

    private func icon(_ name: String) -> some View {
        Image(systemName: name).font(.system(size: 24)).frame(width: 56, height: 56)
    }
}

/// The camera's picture: tap to focus, pinch to zoom, drag up or down for the exposure.
private struct Viewfinder: View {
    let model: AppModel
    let camera: PhoneCamera

    @State private var link = PreviewLink()
    @State private var tapped: CGPoint?
    @State private var zoomFrom: Double?
    @State private var exposeFrom: Double?

    var body: some View {
        GeometryReader { room in
            ZStack {
                Color.black
                if model.camera == .open {
                    CameraPreview(camera: camera, side: model.controls.side, link: link)
                        .gesture(tap.simultaneously(with: pinch).simultaneously(with: drag(room.size.height)))
                        .accessibilityElement()
                        .accessibilityAddTraits(.isImage)
                        .accessibilityLabel(localizedString("preview_label"))
                }
                if let tapped {
                    RoundedRectangle(cornerRadius: 8).strokeBorder(.yellow, lineWidth: 2)
                        .frame(width: 72, height: 72)
                        .position(tapped)
                        .accessibilityHidden(true)
                }
            }
            .onChange(of: room.size, initial: true) {
                model.viewfinder = Extent(width: room.size.width, height: room.size.height)
            }
        }
        .task(id: model.controls.focus) {
            try? await Task.sleep(for: .seconds(1))
            tapped = nil
        }
    }

    private var tap: some Gesture {
        SpatialTapGesture().onEnded { tap in
            guard let point = link.devicePoint(tap.location) else { return }
            tapped = tap.location
            model.focus(at: Extent(width: point.x, height: point.y))
        }
    }

    private var pinch: some Gesture {
        MagnifyGesture()
            .onChanged { pinch in
                let start = zoomFrom ?? model.controls.zoom
                zoomFrom = start
                model.zoom(from: start, by: pinch.magnification)
            }
            .onEnded { _ in zoomFrom = nil }
    }

    private func drag(_ height: Double) -> some Gesture {
        DragGesture(minimumDistance: 20)
            .onChanged { drag in
                let start = exposeFrom ?? model.controls.exposure
                exposeFrom = start
                model.expose(from: start, by: -drag.translation.height / max(height, 1))
            }
            .onEnded { _ in exposeFrom = nil }
    }
}

/// The question of live mode, which can be edited or chosen.
private struct LiveQuestion: View {
    let model: AppModel

    @State private var question = ""

    var body: some View {
        HStack(spacing: 8) {
            TextField(localizedString("live_question"), text: $question)
                .submitLabel(.done)
                .onSubmit { model.liveQuestion = question }
                .accessibilityLabel(localizedString("live_question"))
            Menu {
                ForEach(model.settings.presets + [Settings.hazardQuestion], id: \.self) { preset in
                    Button(preset) { model.liveQuestion = preset }
                }
            } label: {
                Image(systemName: "text.bubble").frame(width: 44, height: 44)
            }
            .accessibilityLabel(localizedString("presets_label"))
        }
        .padding(.leading, 16)
        .background(.regularMaterial, in: Capsule())
        .onChange(of: model.liveQuestion, initial: true) { question = model.liveQuestion }
    }
}

/// The newest answer of live mode over the picture, and how old its frame is.
private struct LiveCard: View {
    let model: AppModel
    let live: LiveState

    var body: some View {
        VStack(alignment: .leading, spacing: 6) {
            if !live.answer.isEmpty {
                Text(live.answer).font(.title2).accessibilityAddTraits(.updatesFrequently)
            }
            TimelineView(.periodic(from: .now, by: 1)) { _ in
                Text(live.age(at: model.now)).font(.footnote).foregroundStyle(.secondary)
            }
        }
        .padding(16)
        .frame(maxWidth: 640, alignment: .leading)
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
    }
}

/// What the app is doing, if it isn't ready.
struct StatusView: View {
    let model: AppModel

    var body: some View {
        if let status = model.status {
            VStack(alignment: .leading, spacing: 6) {
                Text(status)
                if let verified = model.session.verified { ProgressView(value: verified) }
            }
            .font(.footnote)
            .padding(10)
            .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 14))
        }
        if let warning = model.warning { Text(warning).font(.footnote).foregroundStyle(Color.problem) }
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
