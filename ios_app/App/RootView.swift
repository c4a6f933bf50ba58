import MobileVLMApp
import MobileVLMCore
import SwiftUI
import UIKit
import UniformTypeIdentifiers

/// The navigation between screens, and the system's events.
struct RootView: View {
    @Bindable var model: AppModel
    let camera: PhoneCamera

    @Environment(\.scenePhase) private var phase
    /// Discarded by the system when the user closes the app, like the conversation should be.
    @SceneStorage("is_to_restore") private var isToRestore = false
    @State private var isChoosingBundle = false

    var body: some View {
        NavigationStack(path: $model.pushed) {
            Group {
                if model.root == .welcome {
                    WelcomeView(model: model, chooseBundle: chooseBundle)
                } else {
                    ChatView(model: model, camera: camera)
                }
            }
            .navigationDestination(for: Screen.self) { screen in
                switch screen {
                case .conversations: ConversationsView(model: model)
                case .bundles: BundlesView(model: model, chooseBundle: chooseBundle)
                case .check: CheckView(model: model)
                case .settings: SettingsView(model: model)
                case .about, .chat, .welcome: AboutView()
                }
            }
        }
        .fileImporter(isPresented: $isChoosingBundle, allowedContentTypes: [.zip]) { chosen in
            if let file = try? chosen.get() { Task { await model.importBundle(file) } }
        }
        .onOpenURL { file in
            Task { await model.open(file) }
        }
        .onChange(of: phase, initial: true) {
            switch phase {
            case .active: model.enterForeground()
            case .background: if let canRestore = model.enterBackground() { isToRestore = canRestore }
            default: model.resignActive()
            }
        }
        .onChange(of: model.staysAwake) { UIApplication.shared.isIdleTimerDisabled = model.staysAwake }
        .task { await model.start(restoring: isToRestore) }
        .task {
            let warnings = NotificationCenter.default.notifications(named: UIApplication.didReceiveMemoryWarningNotification)
            for await _ in warnings.map({ _ in }) { model.releaseMemory() }
        }
    }

    private func chooseBundle() { isChoosingBundle = true }
}
