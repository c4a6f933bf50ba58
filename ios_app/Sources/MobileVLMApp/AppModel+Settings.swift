import Foundation
import MobileVLMCore

/// What the user sets.
extension AppModel {
    /// Whether the details of answers are open.
    public var showsStats: Bool {
        get { settings.showsStats }
        set { change { $0.showsStats = newValue } }
    }

    /// Whether short sounds tell what happens; at first, whether VoiceOver is on.
    public var playsSounds: Bool {
        get { settings.playsSounds ?? dependencies.hasVoiceOver() }
        set { change { $0.playsSounds = newValue } }
    }

    func play(_ earcon: Earcon) {
        if playsSounds { dependencies.play(earcon) }
    }

    /// Saves the non-blank `lines` as suggested questions; if there are none, restores the defaults.
    public func setPresets(_ lines: String) {
        let presets = lines.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        change { $0.presets = presets.isEmpty ? Settings.ownPresets : presets }
    }

    /// The hardware that runs the model; nil for the manifest's choice. A change reloads the model.
    public var computeUnits: CoreMLSpec.ComputeUnits? {
        get { settings.computeUnits }
        set {
            guard newValue != settings.computeUnits else { return }
            change { $0.computeUnits = newValue }
            reload()
        }
    }

    private func reload() {
        guard let bundle = library.bundles.first(where: { $0.name == session.bundle }) else { return }
        let (shown, said) = (picture, session.turns)
        request { session in
            await session.close()
            await session.settle()  // it is freed
            await session.open(bundle.folder)
            if let shown { await session.resume(shown, said: said) }
        }
    }
}
