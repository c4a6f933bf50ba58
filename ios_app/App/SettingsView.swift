import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// What can be set: the figures, and the questions on buttons.
struct SettingsView: View {
    let model: AppModel

    @State private var presets = ""

    var body: some View {
        Form {
            Toggle(say("settings_stats"), isOn: showsStats)
            Picker(say("settings_units"), selection: computeUnits) {
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

    private var computeUnits: Binding<CoreMLSpec.ComputeUnits?> {
        Binding {
            model.settings.computeUnits
        } set: { units in
            model.setComputeUnits(units)
        }
    }

    private var showsStats: Binding<Bool> {
        Binding {
            model.settings.showsStats
        } set: { isShown in
            model.showStats(isShown)
        }
    }
}
