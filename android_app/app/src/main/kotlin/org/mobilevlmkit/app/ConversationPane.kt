package org.mobilevlmkit.app

import android.view.View
import android.widget.HorizontalScrollView
import android.widget.LinearLayout
import android.widget.ScrollView
import org.mobilevlmkit.app.Ui.Companion.readOutWhen
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.usable
import org.mobilevlmkit.app.Ui.Companion.weighted
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.MemoryFit
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Problem

/** Questions and answers, problems, and the next question. */
class ConversationPane(private val ui: Ui, private val model: AppModel, private val actions: Actions) {
    private val status = ui.status()
    private val warning = ui.text(ui.string(R.string.problem_memory_tight), 14, R.color.problem)
    private val problem = ProblemView(ui, model, ::askInNewChat)
    private val live = LiveView(ui)
    private val turns = ui.column()
    private val turnViews = ArrayList<TurnView>()
    private val presets = LinearLayout(ui.context)
    private val presetRow = HorizontalScrollView(ui.context).apply {
        contentDescription = ui.string(R.string.presets_label)
        isHorizontalScrollBarEnabled = false
        isHorizontalFadingEdgeEnabled = true // there are more
        setFadingEdgeLength(ui.dp(24))
        addView(presets)
    }
    private val content = ui.column(problem.view, warning, live.view, turns, status, presetRow, gap = 8)
    private val scroll = ScrollView(ui.context).apply {
        isFillViewport = true
        addView(content)
    }
    private val question = ui.field("", 4).apply { id = R.id.question }
    private val ask = ui.button(ui.string(R.string.ask), isMain = true) { send() }
    private val stop = ui.button(ui.string(R.string.stop), isMain = true, onClick = model::stop)
    private val input = ui.row(question.weighted(), ask, stop).apply { setPadding(0, ui.dp(8), 0, 0) }
    val view: View = ui.column(scroll.weighted(isColumn = true), input)
    private var hasNews = false // at the bottom, where the newest answer is
    private var shownPresets: List<String>? = null
    private var refused: String? = null // a question restored to the field

    init {
        content.addOnLayoutChangeListener { _, _, _, _, _, _, _, _, _ ->
            if (hasNews) scroll.post { scroll.smoothScrollTo(0, content.height) }
            hasNews = false
        }
    }

    fun render(state: UiState) {
        val session = state.session
        problem.render(state)
        warning.shown(session.memory == MemoryFit.TIGHT)
        live.render(state)
        turns.shown(state.live == null && state.picture != null)
        if (state.picture != null && state.live == null) renderTurns(state)
        val statusText = statusOf(state)
        status.shown(statusText.isNotEmpty())
        status.say(statusText)
        val isBusy = session.phase == Phase.ANSWERING || session.waitingQuestion != null
        input.shown(state.live == null)
        ask.shown(!isBusy)
        stop.shown(isBusy)
        val canAsk = state.picture != null && !isBusy
        ask.usable(canAsk)
        question.hint = ui.string(if (state.picture == null) R.string.question_hint_before else R.string.question_hint)
        presetRow.shown(canAsk && state.presets.isNotEmpty())
        renderPresets(state.presets)
        restoreQuestion((session.problem as? Problem.ContextFull)?.question)
    }

    private fun statusOf(state: UiState): String {
        val session = state.session
        // What is wrong with the camera is shown in place of its image.
        val aim = if (state.camera == CameraState.OPEN) ui.string(R.string.phase_ready) else ""
        val waiting = session.waitingQuestion
        return when {
            state.live != null -> ""
            waiting != null -> ui.string(R.string.phase_waiting, waiting)
            else -> when (session.phase) {
                Phase.IDLE -> ui.string(R.string.phase_idle)
                Phase.LOADING, Phase.SUSPENDED ->
                    ui.string(if (session.loadProgress < 1f) R.string.phase_checking else R.string.phase_preparing)
                Phase.FAILED -> ""
                Phase.READY -> aim
                Phase.ENCODING -> if (state.picture == null) aim else ui.string(R.string.phase_looking)
                Phase.IMAGE_READY -> when {
                    state.picture == null -> aim
                    session.turns.isEmpty() -> ui.string(R.string.phase_seen)
                    state.showsStats -> ui.string(R.string.stats_context, session.usedTokens, session.maxTokens)
                    else -> ""
                }
                Phase.CHECKING -> ui.string(R.string.check_running)
                Phase.ANSWERING -> ui.string(R.string.phase_answering)
            }
        }
    }

    private fun renderTurns(state: UiState) {
        val new = state.session.turns
        while (turnViews.size > new.size) turns.removeView(turnViews.removeAt(turnViews.size - 1).view)
        while (turnViews.size < new.size) turnViews.add(TurnView().also { turns.addView(it.view) })
        new.forEachIndexed { index, turn -> hasNews = turnViews[index].render(turn, index == new.size - 1, state) || hasNews }
    }

    private fun renderPresets(new: List<String>) {
        if (new == shownPresets) return
        shownPresets = new
        presets.removeAllViews()
        for (preset in new) {
            val button = ui.button(preset) { model.ask(preset) }
            presets.addView(button, LinearLayout.LayoutParams(Ui.WRAP, Ui.WRAP).apply { marginEnd = ui.dp(8) })
        }
    }

    private fun send() {
        if (model.ask(question.text.toString())) question.setText("")
    }

    /** [question] didn't fit the context: restores it to the field so that it can be shortened. */
    private fun restoreQuestion(question: String?) {
        if (question == refused) return
        refused = question
        if (question != null && this.question.text.isEmpty()) this.question.setText(question)
    }

    private fun askInNewChat(question: String) {
        this.question.setText("")
        model.newChat(question)
    }

    /** One question with its answer. */
    private inner class TurnView {
        private val asked = ui.text(sp = 15, color = R.color.text_soft)
        private val answer = ui.text(sp = 18)
        private val note = ui.text(sp = 13, color = R.color.text_soft)
        private val speak = ui.button(ui.string(R.string.speak), ui.string(R.string.speak_label)) {
            shown?.let { actions.speak(it.answer) }
        }
        private val undo = ui.button(ui.string(R.string.undo_question), ui.string(R.string.undo_question_label), onClick = model::undo)
        private val buttons = ui.flow(speak, undo)
        private var shown: ChatTurn? = null
        val view: View = ui.column(ui.card(asked, answer, note, buttons)).apply { setPadding(0, 0, 0, ui.dp(10)) }

        /** Returns true if something changed. */
        fun render(turn: ChatTurn, isLast: Boolean, state: UiState): Boolean {
            val before = shown
            shown = turn
            asked.say(ui.string(R.string.you, turn.question))
            answer.say(turn.answer)
            answer.shown(turn.answer.isNotEmpty())
            val isDone = turn.ended != null
            note.say(notes(turn, state.showsStats))
            note.shown(note.text.isNotEmpty())
            speak.shown(isDone && turn.answer.isNotEmpty())
            val isSpeaking = turn.answer == state.speaking
            speak.say(ui.string(if (isSpeaking) R.string.speak_end else R.string.speak))
            speak.contentDescription = ui.string(if (isSpeaking) R.string.speak_end_label else R.string.speak_label)
            undo.shown(isDone && isLast)
            buttons.shown(isDone && (isLast || turn.answer.isNotEmpty()))
            answer.readOutWhen(isDone && isLast)
            return before != turn
        }

        private fun notes(turn: ChatTurn, showsStats: Boolean): String {
            val ending = when (turn.ended) {
                Ended.LENGTH -> ui.string(R.string.ended_length)
                Ended.STOPPED -> ui.string(R.string.ended_stopped)
                Ended.FAILED -> ui.string(R.string.ended_failed)
                Ended.COMPLETE, null -> null
            }
            val stats = turn.stats?.takeIf { showsStats }?.let { figures ->
                listOfNotNull(
                    figures.imageS.takeIf { it > 0 }?.let { ui.string(R.string.stats_image, it) },
                    ui.string(R.string.stats_first, figures.firstTokenS),
                    figures.decodeTokensPerS.takeIf { it > 0 }?.let { ui.string(R.string.stats_speed, it) },
                ).joinToString(" · ")
            }
            return listOfNotNull(ending, stats).joinToString("\n")
        }
    }
}

/** The newest answer of live mode, large, and how old its frame is. */
class LiveView(private val ui: Ui) {
    private val question = ui.text(sp = 15, color = R.color.text_soft)
    private val answer = ui.text(sp = 24)
    private val age = ui.text(sp = 14, color = R.color.text_soft)
    val view: View = ui.card(question, answer, age)
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
        answer.say(new.answer)
        answer.shown(new.answer.isNotEmpty())
        answer.readOutWhen(new.isWhole)
        renderAge(new)
    }

    private fun renderAge(live: LiveState) {
        val seen = live.seenAtMs
        age.say(
            when {
                live.isCoolingDown -> ui.string(R.string.live_resting)
                seen == null -> ui.string(R.string.live_waiting)
                else -> ui.string(R.string.live_age, ((android.os.SystemClock.elapsedRealtime() - seen) / SECOND).toInt())
            },
        )
    }

    private companion object {
        const val SECOND = 1000L
    }
}
