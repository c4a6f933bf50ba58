import Foundation
import MobileVLMCore

/// The picture, and the part of it that is asked about.
extension AppModel {
    public var hasPrevious: Bool { previous != nil }

    /// Whether only a part of the picture is asked about.
    public var isPart: Bool { viewing?.part != nil }

    /// Reads the picture that the user chose; `load` returns the bytes of its file.
    public func pick(_ load: @escaping @Sendable () async throws -> Data) async {
        await view { Viewing(shot: .photo(try await load())) }
    }

    /// Asks about the part `part` of the whole picture, in all its detail, in a new conversation.
    public func askAbout(_ part: PartRect?) async {
        guard let viewing, part != viewing.part else { return }
        await view { Viewing(shot: viewing.shot, part: part) }
    }

    /// Tells who can't see it that `part` is chosen.
    public func announce(_ part: NamedPart) { dependencies.announce([part.chosen]) }

    /// The whole picture, to choose a part of.
    public func wholePicture() async -> Picture? {
        guard let viewing, viewing.part != nil else { return picture }
        return await Task.detached { [decode = dependencies.decodePhoto] in
            try? viewing.shot.pixels(nil) { try decode($0, 0, $1) }
        }.value
    }

    /// Decodes what `make` returns, and shows it with its conversation.
    func view(_ make: @escaping @Sendable () async throws -> Viewing) async {
        pictureRequests += 1
        let number = pictureRequests
        isReadingPicture = true
        pictureProblem = nil
        let backdrop = library.bundles.first { $0.name == session.bundle }?.manifest?.image.padColor ?? 0
        let made = await Task.detached { [decode = dependencies.decodePhoto] in
            let viewing = try await make()
            return (viewing, try viewing.shot.pixels(viewing.part) { try decode($0, backdrop, $1) })
        }.result
        guard number == pictureRequests else { return }
        isReadingPicture = false
        switch made {
        case .success(let (viewing, picture)): show(picture, viewing)
        case .failure(let error as any MobileVLMError): pictureProblem = error.message
        case .failure: pictureProblem = "picture: can't be read, expected a photo"
        }
    }

    func show(_ shown: Picture, _ viewing: Viewing) {
        pictureRequests += 1
        endLive()
        isReadingPicture = false
        pictureProblem = nil
        pictureNumber += 1
        pictureBefore = session.picture
        self.viewing = viewing
        picture = shown
        let said = viewing.said
        saves.enqueue { [saved] in await saved.save(shown) }
        request { said.isEmpty ? _ = await $0.show(shown) : await $0.resume(shown, said: said) }
    }

    /// Goes back to the camera; `undoPicture` restores the picture and its conversation.
    public func newPicture() {
        if var left = viewing {
            left.said = session.turns.filter { $0.ended != nil }
            previous = left
        }
        stop()
        dropPicture()
    }

    /// The previous picture with its conversation.
    public func undoPicture() async {
        guard let back = previous else { return }
        previous = nil
        endLive()
        await view { back }
    }

    func forgetPicture() {
        endLive()
        dropPicture()
        previous = nil
        saves.enqueue { [saved] in await saved.delete() }
    }

    private func dropPicture() {
        pictureRequests += 1
        isReadingPicture = false
        pictureProblem = nil
        viewing = nil
        picture = nil
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
            if let (shown, said) = found { show(shown, Viewing(shot: .frame(shown), said: said)) }
        }
    }
}
