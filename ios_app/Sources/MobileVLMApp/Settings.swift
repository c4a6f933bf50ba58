import Foundation
import MobileVLMCore

/// What the user chose; kept between starts. Questions asked and pictures are not.
public struct Settings: Codable, Sendable, Equatable {
    /// The model was trained on English questions: these are asked as they stand, in any language.
    public static let ownPresets = [
        "Describe the image.", "What is in the center?", "Read the word.", "How many objects are there?", "What is this?",
    ]
    public static let ownLiveQuestion = "Describe the image."

    /// Name of the bundle in use.
    public var bundle: String?
    /// Figures under each answer.
    public var showsStats: Bool
    /// Questions on buttons.
    public var presets: [String]
    /// The standing question of live mode.
    public var liveQuestion: String
    /// What runs the model; nil: what its manifest says.
    public var computeUnits: CoreMLSpec.ComputeUnits?

    public init() {
        showsStats = true
        presets = Self.ownPresets
        liveQuestion = Self.ownLiveQuestion
    }

    /// What an older version didn't write is as at first.
    public init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.container(keyedBy: CodingKeys.self)
        bundle = try values.decodeIfPresent(String.self, forKey: .bundle)
        showsStats = try values.decodeIfPresent(Bool.self, forKey: .showsStats) ?? showsStats
        presets = try values.decodeIfPresent([String].self, forKey: .presets) ?? presets
        liveQuestion = try values.decodeIfPresent(String.self, forKey: .liveQuestion) ?? liveQuestion
        let units = try values.decodeIfPresent(String.self, forKey: .computeUnits)
        computeUnits = units.flatMap(CoreMLSpec.ComputeUnits.init)
    }
}

/// Where settings are kept.
public struct SettingsStore: Sendable {
    public let load: @Sendable () -> Settings
    public let save: @Sendable (Settings) -> Void

    public init(load: @escaping @Sendable () -> Settings, save: @escaping @Sendable (Settings) -> Void) {
        self.load = load
        self.save = save
    }

    /// In `file`, written whole or not at all; settings that can't be read are as at first.
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
