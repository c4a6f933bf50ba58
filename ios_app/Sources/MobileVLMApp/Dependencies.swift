import Foundation
import MobileVLMCore

/// The phone's properties and current condition.
public struct Phone: Sendable {
    /// Bytes that the app may use.
    public let availableMemory: @Sendable () -> Int64
    public let thermal: @Sendable () -> Thermal
    public let isLowPower: @Sendable () -> Bool
    /// Peak memory of the app, in bytes.
    public let peakBytes: @Sendable () -> Int64
    /// For captures: model, system.
    public let describe: @Sendable () -> [String: String]

    public init(
        availableMemory: @escaping @Sendable () -> Int64, thermal: @escaping @Sendable () -> Thermal,
        isLowPower: @escaping @Sendable () -> Bool, peakBytes: @escaping @Sendable () -> Int64,
        describe: @escaping @Sendable () -> [String: String]
    ) {
        self.availableMemory = availableMemory
        self.thermal = thermal
        self.isLowPower = isLowPower
        self.peakBytes = peakBytes
        self.describe = describe
    }
}

/// The phone's voices, or a fake.
@MainActor
public protocol Speaker: Sendable {
    /// Speaks `text` with a voice of `language`, such as `en-US`, and calls `ended` when finished or stopped. Returns false if the phone
    /// has no such voice.
    func speak(_ text: String, in language: String, ended: @escaping @MainActor @Sendable () -> Void) -> Bool

    func stop()
}

/// The app's dependencies; tests replace engine, camera and phone.
public struct Dependencies: Sendable {
    public typealias Engine = VLMEngine & ModelMethods
    public typealias OpenEngine =
        @Sendable (URL, Manifest, CoreMLSpec.ComputeUnits?, ForegroundGate) async throws -> any Engine
    public typealias OpenPickedFile = @Sendable (URL, (URL) throws -> Void) throws -> Void
    public typealias DecodePhoto = @Sendable (Data, UInt32, PartRect?) throws -> Picture

    /// The folder of the bundles.
    public let bundles: URL
    public let settings: SettingsStore
    public let crashGuard: CrashGuard
    /// Where the current picture is saved while the app is in the background.
    public let cache: URL
    /// Where conversations are kept, if the user wants it.
    public let conversations: URL
    /// A zipped bundle packed into the app, if any.
    public let packed: URL?
    /// Where captures are stored until they are shared.
    public let captures: URL
    public let phone: Phone
    public let camera: any Camera
    /// Loads the programs of the verified bundle in a folder, to run on the user's choice of hardware or the manifest's, while the app is
    /// in the foreground.
    public let openEngine: OpenEngine
    /// Decodes a picture file, upright, over a backdrop (0xRRGGBB) where it is transparent; or a part of it, in more detail. Throws a
    /// `PictureError`.
    public let decodePhoto: DecodePhoto
    /// The opposite, with some loss. Throws a `PictureError`.
    public let encodePhoto: @Sendable (Picture) throws -> Data
    /// Decodes a PNG file to RGB without color management. Throws a `PictureError`.
    public let decodeExactly: @Sendable (URL) throws -> Picture
    /// Gives access to a file that the user chose in another app.
    public let openPickedFile: OpenPickedFile
    /// Excludes a folder from the phone's backup: a bundle is large and can be imported again, and conversations stay on the phone.
    public let keepFromBackup: @Sendable (URL) -> Void
    /// Deletes compiled programs of deleted bundles; receives the ids of the existing ones.
    public let sweep: @Sendable (Set<String>) -> Void
    public let speaker: any Speaker
    public let hasVoiceOver: @MainActor @Sendable () -> Bool
    /// Announces texts to VoiceOver users.
    public let announce: @MainActor @Sendable ([LocalizedText]) -> Void
    /// Plays a short sound.
    public let play: @MainActor @Sendable (Earcon) -> Void
    /// A monotonic clock.
    public let now: @Sendable () -> Duration

    public init(
        bundles: URL, settings: SettingsStore, crashGuard: CrashGuard, cache: URL, conversations: URL,
        packed: URL?, captures: URL, phone: Phone, camera: any Camera,
        openEngine: @escaping OpenEngine,
        decodePhoto: @escaping DecodePhoto, encodePhoto: @escaping @Sendable (Picture) throws -> Data,
        decodeExactly: @escaping @Sendable (URL) throws -> Picture, openPickedFile: @escaping OpenPickedFile,
        keepFromBackup: @escaping @Sendable (URL) -> Void, sweep: @escaping @Sendable (Set<String>) -> Void,
        speaker: any Speaker,
        hasVoiceOver: @escaping @MainActor @Sendable () -> Bool,
        announce: @escaping @MainActor @Sendable ([LocalizedText]) -> Void,
        play: @escaping @MainActor @Sendable (Earcon) -> Void,
        now: @escaping @Sendable () -> Duration = monotonicNow
    ) {
        self.bundles = bundles
        self.settings = settings
        self.crashGuard = crashGuard
        self.cache = cache
        self.conversations = conversations
        self.packed = packed
        self.captures = captures
        self.phone = phone
        self.camera = camera
        self.openEngine = openEngine
        self.decodePhoto = decodePhoto
        self.encodePhoto = encodePhoto
        self.decodeExactly = decodeExactly
        self.openPickedFile = openPickedFile
        self.keepFromBackup = keepFromBackup
        self.sweep = sweep
        self.speaker = speaker
        self.hasVoiceOver = hasVoiceOver
        self.announce = announce
        self.play = play
        self.now = now
    }
}
