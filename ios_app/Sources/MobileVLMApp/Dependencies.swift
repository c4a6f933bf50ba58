import Foundation
import MobileVLMCore

/// What this phone is, and how it is doing.
public struct Phone: Sendable {
    /// Bytes that the app may take.
    public let availableMemory: @Sendable () -> Int64
    public let thermal: @Sendable () -> Thermal
    public let isLowPower: @Sendable () -> Bool
    /// The most bytes of memory that the app has had.
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

/// The phone's voices, or a test's.
@MainActor
public protocol Speaker: Sendable {
    /// Speaks `text` with the voice of `language`, such as `en-US`, and calls `ended` once it is spoken or was stopped. False if the phone
    /// has no such voice.
    func speak(_ text: String, in language: String, ended: @escaping @MainActor @Sendable () -> Void) -> Bool

    func stop()
}

/// What the app is made of; tests put their own engine, camera and phone in.
public struct Dependencies: Sendable {
    public typealias Engine = VLMEngine & ModelMethods
    public typealias OpenPickedFile = @Sendable (URL, (URL) throws -> StoredBundle) throws -> StoredBundle

    /// The folder of the bundles.
    public let bundles: URL
    public let settings: SettingsStore
    public let crashGuard: CrashGuard
    /// Where the picture in use is kept while the app isn't seen.
    public let cache: URL
    /// Where captures lie until they are shared.
    public let captures: URL
    public let phone: Phone
    public let camera: any Camera
    /// Loads the programs of the verified bundle in a folder, to be run on what the user wants, or what the manifest says.
    public let openEngine: @Sendable (URL, Manifest, CoreMLSpec.ComputeUnits?) async throws -> any Engine
    /// A picture's file, upright, over a backdrop (0xRRGGBB) where it is transparent. Throws a `PictureError`.
    public let decodePhoto: @Sendable (Data, UInt32) throws -> Picture
    /// A picture's file, PNG, as RGB without any colour management. Throws a `PictureError`.
    public let decodeExactly: @Sendable (URL) throws -> Picture
    /// Gives the file that the user picked in another app to be read.
    public let openPickedFile: OpenPickedFile
    /// A bundle is large, and can be had again: it needn't be in the phone's backup.
    public let keepFromBackup: @Sendable (URL) -> Void
    /// Removes what was made of bundles that are gone; given the ids of those that are there.
    public let sweep: @Sendable (Set<String>) -> Void
    public let speaker: any Speaker
    /// Has texts read out, if the user has the screen read out.
    public let announce: @MainActor @Sendable ([LocalizedText]) -> Void
    /// A clock that never goes back.
    public let now: @Sendable () -> Duration

    public init(
        bundles: URL, settings: SettingsStore, crashGuard: CrashGuard, cache: URL, captures: URL, phone: Phone,
        camera: any Camera,
        openEngine: @escaping @Sendable (URL, Manifest, CoreMLSpec.ComputeUnits?) async throws -> any Engine,
        decodePhoto: @escaping @Sendable (Data, UInt32) throws -> Picture,
        decodeExactly: @escaping @Sendable (URL) throws -> Picture, openPickedFile: @escaping OpenPickedFile,
        keepFromBackup: @escaping @Sendable (URL) -> Void, sweep: @escaping @Sendable (Set<String>) -> Void,
        speaker: any Speaker,
        announce: @escaping @MainActor @Sendable ([LocalizedText]) -> Void,
        now: @escaping @Sendable () -> Duration = monotonicNow
    ) {
        self.bundles = bundles
        self.settings = settings
        self.crashGuard = crashGuard
        self.cache = cache
        self.captures = captures
        self.phone = phone
        self.camera = camera
        self.openEngine = openEngine
        self.decodePhoto = decodePhoto
        self.decodeExactly = decodeExactly
        self.openPickedFile = openPickedFile
        self.keepFromBackup = keepFromBackup
        self.sweep = sweep
        self.speaker = speaker
        self.announce = announce
        self.now = now
    }
}
