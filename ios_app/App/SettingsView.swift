import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// Settings: details, sounds, live mode, kept conversations, hardware and the suggested questions.
struct SettingsView: View {
    @Bindable var model: AppModel

    @State private var presets = ""

    var body: some View {
        Form {
            Toggle(localizedString("show_details"), isOn: $model.showsStats)
            Section {
                Toggle(localizedString("sounds"), isOn: $model.playsSounds)
                Text(localizedString("sounds_detail")).font(.footnote).foregroundStyle(.secondary)
            }
            Section {
                Toggle(localizedString("open_live"), isOn: $model.opensLive)
                Button(Settings.hazardQuestion) { model.liveQuestion = Settings.hazardQuestion }
                    .disabled(model.liveQuestion == Settings.hazardQuestion)
                Text(localizedString("hazard_limits")).font(.footnote).foregroundStyle(.secondary)
            }
            Section {
                Picker(localizedString("keep_conversations"), selection: $model.keeps) {
                    ForEach(KeptCount.allCases, id: \.self) { count in Text(count.label).tag(count) }
                }
                Text(localizedString("kept_here")).font(.footnote).foregroundStyle(.secondary)
            }
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
