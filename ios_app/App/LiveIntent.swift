import AppIntents

/// A shortcut straight into live mode, for Siri, the Shortcuts app, Spotlight and the Action button.
struct LiveIntent: AppIntent {
    static let title: LocalizedStringResource = "live_title"
    static let openAppWhenRun = true

    @MainActor
    func perform() async throws -> some IntentResult {
        PhoneApp.model.goLive()
        return .result()
    }
}

/// The phrases that start it, without any setup.
struct LiveShortcuts: AppShortcutsProvider {
    static var appShortcuts: [AppShortcut] {
        AppShortcut(
            intent: LiveIntent(), phrases: ["Live mode in \(.applicationName)", "What does \(.applicationName) see"],
            shortTitle: "live_title", systemImageName: "dot.viewfinder")
    }
}
