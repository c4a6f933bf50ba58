import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// Settings: the stats and the suggested questions.
struct SettingsView: View {
    @Bindable var model: AppModel

    @State private var presets = ""

    var body: some View {
        Form {
            Toggle(localizedString("settings_stats"), isOn: $model.showsStats)
            Picker(localizedString("settings_units"), selection: $model.computeUnits) {
                ForEach([nil] + CoreMLSpec.ComputeUnits.allCases, id: \.self) { units in
                    Text(model.label(of: units)).tag(units)
                }
            }
            Section(localizedString("settings_presets")) {
                TextEditor(text: $presets)
                    .frame(minHeight: 160)
                    .accessibilityLabel(localizedString("settings_presets"))
                Button(localizedString("settings_save")) {
                    model.setPresets(presets)
                    model.back()
                }
                Button(localizedString("settings_reset")) {
                    model.setPresets("")
                    read()
                }
            }
        }
        .navigationTitle(localizedString("settings_title"))
        .onAppear(perform: read)
    }

    private func read() { presets = model.settings.presets.joined(separator: "\n") }
}
