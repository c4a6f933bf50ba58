import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// What can be set: the figures, and the questions on buttons.
struct SettingsView: View {
    @Bindable var model: AppModel

    @State private var presets = ""

    var body: some View {
        Form {
            Toggle(say("settings_stats"), isOn: $model.showsStats)
            Picker(say("settings_units"), selection: $model.computeUnits) {
                ForEach([nil] + CoreMLSpec.ComputeUnits.allCases, id: \.self) { units in
                    Text(model.label(of: units)).tag(units)
                }
            }
            Section(say("settings_presets")) {
                TextEditor(text: $presets)
                    .frame(minHeight: 160)
                    .accessibilityLabel(say("settings_presets"))
                Button(say("settings_save")) {
                    model.setPresets(presets)
                    model.back()
                }
                Button(say("settings_reset")) {
                    model.setPresets("")
                    read()
                }
            }
        }
        .navigationTitle(say("settings_title"))
        .onAppear(perform: read)
    }

    private func read() { presets = model.settings.presets.joined(separator: "\n") }
}
