package org.mobilevlmkit.app

import android.os.SystemClock
import android.view.View
import org.mobilevlmkit.app.Ui.Companion.readOutWhen
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown

/** The newest answer of live mode, large, over the camera's image, and how old its frame is. */
class LiveView(private val ui: Ui) {
    private val question = ui.text(sp = 14, color = R.color.on_camera)
    private val answer = ui.text(sp = 22, color = R.color.on_camera)
    private val age = ui.text(sp = 14, color = R.color.on_camera)
    val view: View = ui.column(question, answer, age, gap = 6).apply {
        background = ui.filled(R.color.camera_card, 20)
        setPadding(ui.dp(20), ui.dp(16), ui.dp(20), ui.dp(16))
    }
    private var live: LiveState? = null
    private val tick = object : Runnable {
        override fun run() {
            val seen = live ?: return
            renderAge(seen)
            view.postDelayed(this, SECOND)
        }
    }

    fun render(state: UiState) {
        val new = state.live
        view.shown(new != null)
        if (new != null && live == null) {
            view.removeCallbacks(tick)
            view.postDelayed(tick, SECOND)
        }
        live = new
        if (new == null) return
        question.say(new.question)
        answer.readOutWhen(new.isWhole) // before the text changes, or the first word of the next answer would be read out
        answer.say(new.answer)
        answer.shown(new.answer.isNotEmpty())
        renderAge(new)
    }

    private fun renderAge(live: LiveState) = age.say(StateTexts(ui).age(live, SystemClock.elapsedRealtime()))

    private companion object {
        const val SECOND = 1000L
    }
}
