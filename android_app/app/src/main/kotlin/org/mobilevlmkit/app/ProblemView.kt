package org.mobilevlmkit.app

import android.text.format.Formatter
import android.view.View
import android.widget.LinearLayout
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.core.session.Problem

/** A problem: a user-facing title, the cause below, and possible actions. */
class ProblemView(private val ui: Ui, private val model: AppModel, private val askInNewChat: (String) -> Unit) {
    private class ProblemText(val title: Int, val detail: String, val actions: List<Pair<Int, () -> Unit>>)

    private val title = ui.heading("", 18)
    private val detail = ui.text(color = R.color.problem)
    private val buttons = ui.column(gap = 8)
    val view: View = ui.card(title, detail, buttons, color = R.color.problem_surface).apply {
        accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
    }
    private var rendered: Pair<Problem?, Boolean>? = null

    val isShown: Boolean get() = view.visibility == View.VISIBLE

    fun render(state: UiState) {
        val new = state.session.problem to state.hasCrashed
        if (new == rendered) return
        rendered = new
        val shown = if (state.hasCrashed) crash() else state.session.problem?.let(::of)
        view.shown(shown != null)
        if (shown == null) return
        title.say(ui.string(shown.title))
        detail.say(shown.detail)
        buttons.removeAllViews()
        for ((label, action) in shown.actions) {
            buttons.addView(ui.button(ui.string(label), onClick = action), LinearLayout.LayoutParams(Ui.MATCH, Ui.WRAP))
        }
    }

    private fun crash() = ProblemText(
        R.string.problem_crash,
        ui.string(R.string.problem_crash_detail),
        listOf(R.string.try_again to model::openAnyway, R.string.menu_models to { model.go(Screen.BUNDLES) }),
    )

    private fun of(problem: Problem): ProblemText {
        val retry = R.string.try_again to model::retry
        val models = R.string.menu_models to { model.go(Screen.BUNDLES) }
        return when (problem) {
            is Problem.Bundle -> ProblemText(R.string.problem_bundle, model.plain(problem.message), listOf(models))
            is Problem.Outdated -> ProblemText(
                R.string.problem_outdated,
                ui.string(R.string.problem_outdated_detail, problem.name),
                listOf(models),
            )
            is Problem.Memory -> ProblemText(
                R.string.problem_memory,
                ui.string(R.string.problem_memory_detail, size(problem.neededBytes), size(problem.availableBytes)) +
                    "\n" + ui.string(R.string.load_anyway_detail),
                listOf(retry, R.string.load_anyway to model::loadAnyway, models),
            )
            is Problem.Engine -> ProblemText(R.string.problem_engine, model.plain(problem.message), listOf(retry, models))
            is Problem.ContextFull -> ProblemText(
                R.string.problem_full,
                ui.string(R.string.problem_full_detail),
                listOf(R.string.problem_full_action to { askInNewChat(problem.question) }, R.string.undo_question_label to model::undo),
            )
            is Problem.Check -> ProblemText(R.string.problem_check, problem.message, emptyList())
            is Problem.Input -> ProblemText(R.string.problem_input, problem.message, emptyList())
        }
    }

    private fun size(bytes: Long) = Formatter.formatShortFileSize(ui.context, bytes)
}
