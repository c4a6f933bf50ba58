import Foundation
import MobileVLMCore

/// The camera and the picture.
extension AppModel {
    public var hasPrevious: Bool { previous != nil }

    // MARK: - camera

    /// The camera is open only while it is visible.
    func runCamera() {
        let isWanted = isInForeground && screen == .chat && picture == nil && session.bundle != nil
        guard isWanted else {
            guard let task = cameraTask else { return }
            task.cancel()
            cameraTask = nil
            isShutterPressed = false
            camera = .off
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
        cameraTask = Task { [weak self, frames = dependencies.camera.frames()] in
            do {
                for try await frame in frames {
                    if Task.isCancelled { return }
                    await self?.onFrame(frame)
                }
            } catch {
                self?.onCameraProblem(error as? CameraProblem ?? .failed)
            }
        }
    }

    private func onCameraProblem(_ problem: CameraProblem) {
        guard !Task.isCancelled else { return }
        cameraTask = nil
        camera =
            switch problem {
            case .noCamera: .noCamera
            case .inUse: .inUse
            case .failed: .failed
            }
    }

    public func perform(_ action: PictureNotice.Action) async {
        switch action {
        case .allowCamera:
            _ = await dependencies.camera.askPermission()
            runCamera()
        case .reopenCamera:
            camera = .off
            runCamera()
        case .openSystemSettings: break  // by the system, for the view
        }
    }

    private func onFrame(_ frame: Frame) async {
        await lookLive(at: frame)
        guard isShutterPressed else { return }
        isShutterPressed = false
        await read { try frame.picture() }
    }

    /// The next frame becomes the picture.
    public func pressShutter() {
        isShutterPressed = true
    }

    // MARK: - picture

    /// Reads the picture that the user chose; `load` returns the bytes of its file.
    public func pick(_ load: @escaping @Sendable () async throws -> Data) async {
        let backdrop = library.bundles.first { $0.name == session.bundle }?.manifest?.image.padColor ?? 0
        await read { [decode = dependencies.decodePhoto] in try decode(try await load(), backdrop) }
    }

    private func read(_ make: @escaping @Sendable () async throws -> Picture) async {
        pictureRequests += 1
        let number = pictureRequests
        isReadingPicture = true
        pictureProblem = nil
        let made = await Task.detached(operation: make).result
        guard number == pictureRequests else { return }
        isReadingPicture = false
        switch made {
        case .success(let picture): show(picture)
        case .failure(let error as any MobileVLMError): pictureProblem = error.message
        case .failure: pictureProblem = "picture: can't be read, expected a photo"
        }
    }

    func show(_ shown: Picture, said: [ChatTurn] = []) {
        pictureRequests += 1
        endLive()
        isReadingPicture = false
        pictureProblem = nil
        pictureNumber += 1
        picture = shown
        saves.enqueue { [saved] in await saved.save(shown) }
        request { said.isEmpty ? _ = await $0.show(shown) : await $0.resume(shown, said: said) }
    }

    /// Goes back to the camera; `undoPicture` restores the picture and its conversation.
    public func newPicture() {
        if let picture { previous = (picture, session.turns) }
        stop()
        pictureRequests += 1
        isReadingPicture = false
        pictureProblem = nil
        picture = nil
    }

    /// The previous picture with its conversation.
    public func undoPicture() {
        guard let back = previous else { return }
        previous = nil
        show(back.picture, said: back.turns.filter { $0.ended != nil })
    }

    func forgetPicture() {
        endLive()
        pictureRequests += 1
        isReadingPicture = false
        pictureProblem = nil
        picture = nil
        previous = nil
        saves.enqueue { [saved] in await saved.delete() }
    }

    /// Restores what was saved when the app was last visible.
    func restore() {
        pictureRequests += 1
        let number = pictureRequests
        isReadingPicture = true
        let reading = saves.enqueue { [saved] in await saved.load() }
        Task {
            let found = await reading.value
            guard number == pictureRequests else { return }
            isReadingPicture = false
            if let (shown, said) = found { show(shown, said: said) }
        }
    }
}
