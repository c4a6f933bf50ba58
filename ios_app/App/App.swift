import MobileVLMApp
import SwiftUI

/// Starts the app, and tells its model about foreground and background.
@main
struct PhoneApp: App {
    private let camera: PhoneCamera
    @State private var model: AppModel

    init() {
        let camera = PhoneCamera()
        self.camera = camera
        _model = State(initialValue: AppModel(.phone(camera)))
    }

    var body: some Scene {
        WindowGroup {
            RootView(model: model, camera: camera)
        }
    }
}
