package org.mobilevlmkit.app

import android.view.View
import android.widget.Switch

/** Settings: the stats line and the suggested questions. */
class SettingsScreen(ui: Ui, model: AppModel) : ScreenView {
    @Suppress("UseSwitchCompatOrMaterialCode") // from the framework, because the app uses no libraries
    private val stats = Switch(ui.context).apply {
        text = ui.string(R.string.settings_stats)
        textSize = 16f
        setTextColor(ui.color(R.color.text))
        minHeight = ui.dp(Ui.TOUCH)
        isChecked = model.state.showsStats
        setOnCheckedChangeListener { _, isShown -> model.setStatsShown(isShown) }
    }
    private val presets = ui.field("", MOST_LINES).apply {
        id = R.id.presets
        setText(model.state.presets.joinToString("\n"))
        contentDescription = ui.string(R.string.settings_presets)
    }
    override val view: View = ui.page(
        ui.string(R.string.settings_title),
        { model.back() },
        stats,
        ui.text(ui.string(R.string.settings_presets)),
        presets,
        ui.flow(
            ui.button(ui.string(R.string.settings_save), isMain = true) {
                model.setPresets(presets.text.lines().map { it.trim() }.filter { it.isNotEmpty() })
                model.back()
            },
            ui.button(ui.string(R.string.settings_reset)) {
                model.setPresets(emptyList())
                presets.setText(model.state.presets.joinToString("\n"))
            },
        ),
    )

    override fun render(state: UiState) = Unit

    private companion object {
        const val MOST_LINES = 12
    }
}
