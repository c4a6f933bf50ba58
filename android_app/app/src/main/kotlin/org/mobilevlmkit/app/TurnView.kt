package org.mobilevlmkit.app

import android.view.Gravity
import android.view.View
import android.widget.LinearLayout
import org.mobilevlmkit.app.Ui.Companion.readOutWhen
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.core.session.ChatTurn

/** A question at the right, its answer at the left, and below the newest answer what can be done with it. */
class TurnView(private val ui: Ui, private val model: AppModel, private val actions: Actions) {
    private val asked = ui.bubble(R.color.bubble, R.color.on_bubble, 16)
    private val answer = ui.bubble(R.color.surface, R.color.text, 17)
    private val ending = ui.text(sp = 14, color = R.color.text_soft)
    private val details = ui.text(sp = 14, color = R.color.text_soft)
    private val speak = ui.icon(R.drawable.ic_speak, ui.string(R.string.speak_label), R.color.text_soft) {
        shown?.let { actions.speak(it.answer) }
    }
    private val copy = ui.icon(R.drawable.ic_copy, ui.string(R.string.copy), R.color.text_soft) { shown?.let { actions.copy(it.answer) } }
    private val share = ui.icon(R.drawable.ic_share, ui.string(R.string.share), R.color.text_soft) { shown?.let { actions.share(it) } }
    private val undo = ui.icon(R.drawable.ic_undo, ui.string(R.string.undo_question_label), R.color.text_soft) { model.undo() }
    private val toggle = ui.button(ui.string(R.string.details)) { toggle() }.apply {
        background = null
        setTextColor(ui.color(R.color.text_soft))
        textSize = 14f
    }
    private val buttons = ui.flow(speak, copy, share, undo, toggle, gap = 0)
    private var shown: ChatTurn? = null
    private var isOpen: Boolean? = null // as the setting says, until the user decides
    val view: View = ui.column().apply {
        fun place(view: View, isRight: Boolean) = addView(
            view,
            LinearLayout.LayoutParams(Ui.WRAP, Ui.WRAP).apply {
                gravity = if (isRight) Gravity.END else Gravity.START
                marginStart = if (isRight) ui.dp(48) else 0
                marginEnd = if (isRight) 0 else ui.dp(24)
                topMargin = ui.dp(6)
            },
        )
        place(asked, isRight = true)
        for (each in listOf(answer, ending, details)) place(each, isRight = false)
        addView(buttons, LinearLayout.LayoutParams(Ui.MATCH, Ui.WRAP))
    }

    /** Returns true if something changed. */
    fun render(turn: ChatTurn, isLast: Boolean, state: UiState): Boolean {
        val before = shown
        shown = turn
        val texts = StateTexts(ui)
        asked.say(turn.question)
        asked.contentDescription = ui.string(R.string.you, turn.question)
        val isDone = turn.ended != null
        answer.readOutWhen(isDone && isLast) // before the text changes, or the first word of the next answer would be read out
        answer.say(turn.answer)
        answer.shown(turn.answer.isNotEmpty())
        ending.say(texts.ending(turn))
        ending.shown(ending.text.isNotEmpty())
        details.say(texts.details(turn))
        details.shown((isOpen ?: state.showsDetails) && details.text.isNotEmpty())
        val isSpeaking = turn.answer == state.speaking
        speak.setImageResource(if (isSpeaking) R.drawable.ic_stop else R.drawable.ic_speak)
        speak.contentDescription = ui.string(if (isSpeaking) R.string.speak_end_label else R.string.speak_label)
        for (each in listOf(speak, copy, share)) each.shown(turn.answer.isNotEmpty())
        toggle.shown(details.text.isNotEmpty())
        buttons.shown(isDone && isLast || isSpeaking)
        return before != turn
    }

    private fun toggle() {
        isOpen = details.visibility != View.VISIBLE
        details.shown(isOpen == true)
    }
}
