package org.mobilevlmkit.app

import android.view.View
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.Switch

/** Settings: details, live mode at the start, conversations, and the suggested questions. */
class SettingsScreen(private val ui: Ui, private val model: AppModel) : ScreenView {
    private val settings = model.dependencies.settings
    private val presets = ui.field("", MOST_LINES).apply {
        id = R.id.presets
        setText(model.state.presets.joinToString("\n"))
        contentDescription = ui.string(R.string.settings_presets)
        background = ui.filled(R.color.background, 16)
    }
    private val keep = RadioGroup(ui.context).apply {
        for (choice in Keep.values()) addView(radio(choice))
        check(settings.keep.ordinal)
        setOnCheckedChangeListener { _, id -> model.setKeep(Keep.values()[id]) }
    }
    override val view: View = ui.page(
        ui.string(R.string.settings_title),
        { model.back() },
        ui.card(
            switch(R.string.show_details, settings.showsDetails, model::setDetailsShown),
            switch(R.string.sounds, settings.playsSounds) { settings.playsSounds = it },
            soft(R.string.sounds_detail),
        ),
        ui.section(ui.string(R.string.keep_conversations), soft(R.string.kept_here), keep),
        ui.section(
            ui.string(R.string.live_title),
            switch(R.string.open_live, settings.opensLive) { settings.opensLive = it },
            soft(R.string.settings_guide_question),
            ui.text(ui.string(R.string.hazard_limits), 14, R.color.problem),
            ui.button(ui.string(R.string.settings_guide_use), onClick = model::guide),
        ),
        ui.section(
            ui.string(R.string.presets_label),
            soft(R.string.settings_presets),
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
        ),
    )

    override fun render(state: UiState) = Unit

    private fun soft(text: Int) = ui.text(ui.string(text), 14, R.color.text_soft)

    @Suppress("UseSwitchCompatOrMaterialCode") // from the framework, because the app uses no libraries
    private fun switch(label: Int, isOn: Boolean, onChange: (Boolean) -> Unit) = Switch(ui.context).apply {
        text = ui.string(label)
        textSize = 16f
        setTextColor(ui.color(R.color.text))
        minHeight = ui.dp(Ui.TOUCH)
        isChecked = isOn
        setOnCheckedChangeListener { _, isNowOn -> onChange(isNowOn) }
    }

    private fun radio(choice: Keep) = RadioButton(ui.context).apply {
        id = choice.ordinal
        text = ui.string(choice.label)
        textSize = 16f
        setTextColor(ui.color(R.color.text))
        minHeight = ui.dp(Ui.TOUCH)
    }

    private companion object {
        const val MOST_LINES = 12
    }
}
