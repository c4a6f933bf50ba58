import Foundation
import MobileVLMCore

/// The user's settings, saved between starts. Pictures and answers are not saved here.
public struct Settings: Codable, Sendable, Equatable {
    /// The model was trained on English questions, so these aren't translated.
    public static let ownPresets = [
        "What is this?", "Describe the image.", "Read the text.", "What color is it?", "How many are there?",
    ]
    public static let ownLiveQuestion = "Describe the image."
    /// For people who can't see.
    public static let hazardQuestion =
        "What is in front of me? Name hazards first, and say where each is as on a clock face."

    /// Name of the selected bundle.
    public var bundle: String?
    /// Whether the details of answers are open.
    public var showsStats: Bool
    /// Suggested questions.
    public var presets: [String]
    /// The question of live mode.
    public var liveQuestion: String
    /// Whether the app starts in live mode.
    public var opensLive = false
    public var keeps = KeptCount.off
    /// Whether short sounds are played; nil if the user hasn't chosen.
    public var playsSounds: Bool?
    /// Whether the packed bundle was imported; if the user deletes it, it isn't imported again by itself.
    public var hasImportedPacked = false
    /// The hardware that runs the model; nil for the manifest's choice.
    public var computeUnits: CoreMLSpec.ComputeUnits?

    public init() {
        showsStats = false
        presets = Self.ownPresets
        liveQuestion = Self.ownLiveQuestion
    }

    /// Settings missing in older files have their defaults.
    public init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.container(keyedBy: CodingKeys.self)
        bundle = try values.decodeIfPresent(String.self, forKey: .bundle)
        showsStats = try values.decodeIfPresent(Bool.self, forKey: .showsStats) ?? showsStats
        presets = try values.decodeIfPresent([String].self, forKey: .presets) ?? presets
        liveQuestion = try values.decodeIfPresent(String.self, forKey: .liveQuestion) ?? liveQuestion
        opensLive = try values.decodeIfPresent(Bool.self, forKey: .opensLive) ?? opensLive
        playsSounds = try values.decodeIfPresent(Bool.self, forKey: .playsSounds)
        keeps = try values.decodeIfPresent(String.self, forKey: .keeps).flatMap(KeptCount.init) ?? keeps
        hasImportedPacked = try values.decodeIfPresent(Bool.self, forKey: .hasImportedPacked) ?? hasImportedPacked
        let units = try values.decodeIfPresent(String.self, forKey: .computeUnits)
        computeUnits = units.flatMap(CoreMLSpec.ComputeUnits.init)
    }
}

/// Where settings are saved.
public struct SettingsStore: Sendable {
    public let load: @Sendable () -> Settings
    public let save: @Sendable (Settings) -> Void

    public init(load: @escaping @Sendable () -> Settings, save: @escaping @Sendable (Settings) -> Void) {
        self.load = load
        self.save = save
    }

    /// In `file`, written atomically; unreadable settings become the defaults.
    public static func file(_ file: URL) -> SettingsStore {
        SettingsStore {
            guard let bytes = try? Data(contentsOf: file) else { return Settings() }
            return (try? JSONDecoder().decode(Settings.self, from: bytes)) ?? Settings()
        } save: { settings in
            try? FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try? JSONEncoder().encode(settings).write(to: file, options: .atomic)
        }
    }
}
