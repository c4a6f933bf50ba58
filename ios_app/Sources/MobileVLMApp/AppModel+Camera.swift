import Foundation
import MobileVLMCore

/// The camera.
extension AppModel {
    /// The camera is open only while it is visible. A camera that failed is opened again when it is seen again.
    func runCamera() {
        let isWanted = isInForeground && screen == .chat && picture == nil && session.bundle != nil
        guard isWanted else {
            closeCamera()
            return
        }
        guard cameraTask == nil, [.off, .askPermission, .denied].contains(camera) else { return }
        switch dependencies.camera.permission {
        case .undecided: camera = .askPermission
        case .denied: camera = .denied
        case .allowed: openCamera()
        }
    }

    private func openCamera() {
        camera = .open
        cameraTask = Task { [weak self, events = dependencies.camera.events()] in
            do {
                for try await event in events {
                    if Task.isCancelled { return }
                    await self?.onCamera(event)
                }
            } catch {
                self?.onCameraEnd(error as? CameraProblem ?? .failed)
            }
        }
    }

    private func closeCamera() {
        cameraTask?.cancel()
        cameraTask = nil
        isShutterPressed = false
        if camera != .off { camera = .off }
        if controls.isTorchOn || controls.focus != nil || controls.exposure != 0 || controls.zoom != 1 {
            var fresh = CameraControls()
            fresh.side = controls.side
            controls = fresh
        }
    }

    private func onCamera(_ event: CameraEvent) async {
        switch event {
        case .frame(let frame):
            if camera != .open { camera = .open }
            await onFrame(frame)
        case .interrupted(let problem):
            isShutterPressed = false
            camera = state(problem)
        }
    }

    private func onCameraEnd(_ problem: CameraProblem) {
        guard !Task.isCancelled else { return }
        cameraTask = nil
        isShutterPressed = false
        camera = state(problem)
    }

    private func state(_ problem: CameraProblem) -> CameraState {
        switch problem {
        case .noCamera: .noCamera
        case .inUse: .inUse
        case .tooHot: .tooHot
        case .failed: .failed
        }
    }

    public func perform(_ action: PictureNotice.Action) async {
        switch action {
        case .allowCamera:
            _ = await dependencies.camera.askPermission()
            runCamera()
        case .reopenCamera:
            closeCamera()
            runCamera()
        case .openSystemSettings: break  // by the system, for the view
        }
    }

    private func onFrame(_ frame: Frame) async {
        await lookLive(at: frame)
        guard isShutterPressed else { return }
        isShutterPressed = false
        let visible = frame.visible(in: viewfinder)
        await view { Viewing(shot: .frame(try frame.picture(visible))) }
    }

    /// What the viewfinder shows of the next frame becomes the picture.
    public func pressShutter() {
        isShutterPressed = true
        play(.shutter)
    }

    // MARK: - controls

    public var cameraAbilities: CameraAbilities { dependencies.camera.abilities(controls.side) }

    public func switchCamera() {
        var fresh = CameraControls()
        fresh.side = controls.side == .back ? .front : .back
        controls = fresh
    }

    public func turnTorch() { controls.isTorchOn.toggle() }

    /// Focuses and measures the light at `point`, in the camera's own coordinates.
    public func focus(at point: Extent) {
        controls.focus = point
        controls.exposure = 0
    }

    /// A pinch that began at the zoom `start` has become `scale` times as wide.
    public func zoom(from start: Double, by scale: Double) {
        controls.zoom = min(max(start * scale, 1), max(cameraAbilities.maxZoom, 1))
    }

    /// A drag that began at the exposure `start` went up by `share` of the viewfinder's height.
    public func expose(from start: Double, by share: Double) {
        controls.exposure = min(max(start + 2 * share, -1), 1)
    }
}
