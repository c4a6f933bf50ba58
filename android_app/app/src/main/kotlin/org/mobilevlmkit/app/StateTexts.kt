package org.mobilevlmkit.app

import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionState

/** What the app says about a state: the only place where states become texts, except problems with their actions ([ProblemView]). */
class StateTexts(private val string: (Int, Array<out Any>) -> String) {
    constructor(ui: Ui) : this({ id, values -> ui.string(id, *values) })

    private fun say(id: Int, vararg values: Any) = string(id, values)

    /** Over the viewfinder: only what keeps the user waiting. */
    fun camera(state: UiState): String {
        // What is wrong with the camera is shown in place of its image.
        if (state.live != null || state.hasCrashed || state.camera == CameraState.ASK_PERMISSION) return ""
        return when (state.session.phase) {
            Phase.IDLE -> say(R.string.phase_idle)
            Phase.LOADING, Phase.SUSPENDED, Phase.CHECKING -> session(state.session)
            else -> ""
        }
    }

    /** Above the question: what is being done about the picture. */
    fun conversation(state: UiState): String {
        val session = state.session
        val waiting = session.waitingQuestion
        return when {
            waiting != null -> say(R.string.phase_waiting, waiting)
            session.phase == Phase.IMAGE_READY && session.turns.isNotEmpty() -> ""
            else -> session(session)
        }
    }

    private fun session(session: SessionState): String = when (session.phase) {
        Phase.IDLE -> say(R.string.phase_idle)
        Phase.LOADING, Phase.SUSPENDED -> say(if (session.loadProgress < 1f) R.string.phase_checking else R.string.phase_preparing)
        Phase.FAILED, Phase.READY -> ""
        Phase.ENCODING -> say(R.string.phase_looking)
        Phase.IMAGE_READY -> say(R.string.phase_seen)
        Phase.CHECKING -> say(R.string.check_running)
        Phase.ANSWERING -> say(R.string.phase_answering)
    }

    /** Why there is no image to aim with, or that a picture is being read; null if there is nothing to say. */
    fun picture(state: UiState, plain: (String) -> String): String? = when {
        state.isReadingPicture -> say(R.string.picture_reading)
        state.picture != null -> null
        state.pictureProblem != null -> "${say(R.string.picture_failed)}\n${plain(state.pictureProblem)}"
        else -> when (state.camera) {
            CameraState.OFF, CameraState.OPEN -> null
            CameraState.ASK_PERMISSION -> say(R.string.camera_ask)
            CameraState.DENIED -> say(R.string.camera_denied)
            CameraState.NO_CAMERA -> say(R.string.camera_none)
            CameraState.IN_USE -> say(R.string.camera_in_use)
            CameraState.TOO_HOT -> say(R.string.camera_hot)
            CameraState.FAILED -> say(R.string.camera_failed)
        }
    }

    /** How an answer ended, unless by itself. */
    fun ending(turn: ChatTurn): String = when (turn.ended) {
        Ended.LENGTH -> say(R.string.ended_length)
        Ended.STOPPED -> say(R.string.ended_stopped)
        Ended.FAILED -> say(R.string.ended_failed)
        Ended.COMPLETE, null -> ""
    }

    /** The times of an answer. */
    fun details(turn: ChatTurn): String = turn.stats?.let { figures ->
        listOfNotNull(
            figures.imageS.takeIf { it > 0 }?.let { say(R.string.stats_image, it) },
            say(R.string.stats_first, figures.firstTokenS),
            figures.decodeTokensPerS.takeIf { it > 0 }?.let { say(R.string.stats_speed, it) },
        ).joinToString(" · ")
    } ?: ""

    /** How old the frame is that live mode's answer is about, at [nowMs]. */
    fun age(live: LiveState, nowMs: Long): String = when {
        live.isCoolingDown -> say(R.string.live_resting)
        live.seenAtMs == null -> say(R.string.live_waiting)
        else -> say(R.string.live_age, ((nowMs - live.seenAtMs) / 1000).toInt())
    }

    /** A whole conversation as text, to be shared. */
    fun transcript(turns: List<ChatTurn>): String =
        turns.filter { it.answer.isNotEmpty() }.joinToString("\n\n") { "${say(R.string.you, it.question)}\n${it.answer}" }
}
