package org.mobilevlmkit.app

import android.view.View
import android.widget.ProgressBar
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown

/** The first screen: introduces the app, and imports a bundle. */
class WelcomeScreen(ui: Ui, private val model: AppModel, actions: Actions) : ScreenView {
    private val import = ImportView(ui, model)
    private val packed = ui.button(ui.string(R.string.use_packed), onClick = model::importPacked)
    private val models = ui.button(ui.string(R.string.menu_models)) { model.go(Screen.BUNDLES) } // unusable bundles
    private val ways = ui.column(
        packed,
        ui.text(ui.string(R.string.welcome_choose)),
        ui.button(ui.string(R.string.choose_bundle), isMain = true, onClick = actions::chooseBundle),
        ui.text(ui.string(R.string.welcome_push)),
        ui.button(ui.string(R.string.look_again)) { model.onStart() },
        gap = 16,
    )
    override val view = ui.page(
        ui.string(R.string.welcome_title),
        null,
        ui.card(ui.text(ui.string(R.string.welcome_private), 18)),
        import.view,
        ways,
        models,
        ui.button(ui.string(R.string.menu_about)) { model.go(Screen.ABOUT) },
    )

    override fun render(state: UiState) {
        import.render(state)
        ways.shown(state.library.importing == null)
        packed.shown(model.hasPacked)
        models.shown(state.bundles.isNotEmpty())
    }
}

/** A running import, or why it failed. */
class ImportView(private val ui: Ui, private val model: AppModel) {
    private val title = ui.status(16)
    private val progress = ui.text(sp = 14, color = R.color.text_soft)
    private val bar = ProgressBar(ui.context, null, android.R.attr.progressBarStyleHorizontal).apply { max = STEPS }
    private val importing = ui.card(title, bar, progress, ui.button(ui.string(R.string.cancel), onClick = model::cancelImport))
    private val reason = ui.text(color = R.color.problem)
    private val failed = ui.card(ui.heading(ui.string(R.string.import_failed), 18), reason, color = R.color.problem_surface)
    val view: View = ui.column(importing, failed)

    init {
        failed.accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
    }

    fun render(state: UiState) {
        val library = state.library
        val name = library.importing
        importing.shown(name != null)
        val problem = library.outdated?.let { ui.string(R.string.problem_outdated_detail, it) } ?: library.problem?.let(model::plain)
        failed.shown(problem != null)
        view.shown(name != null || problem != null)
        reason.say(problem ?: "")
        if (name == null) return
        val isSearching = library.importProgress < 0
        title.say(if (name.isEmpty()) ui.string(R.string.import_begins) else ui.string(R.string.import_title, name))
        progress.shown(name.isNotEmpty())
        bar.isIndeterminate = isSearching
        bar.progress = (maxOf(0f, library.importProgress) * STEPS).toInt()
        val percent = (library.importProgress * 100).toInt()
        progress.say(if (isSearching) ui.string(R.string.import_begins) else ui.string(R.string.import_progress, percent))
    }

    private companion object {
        const val STEPS = 1000
    }
}
