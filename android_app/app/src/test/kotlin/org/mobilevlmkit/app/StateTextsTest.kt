package org.mobilevlmkit.app

import org.junit.Assert.assertEquals
import org.junit.Test
import org.mobilevlmkit.core.session.AnswerStats
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionState

/** States as texts; a plain function of both, so nothing of Android runs here. */
class StateTextsTest {
    private val texts = StateTexts { id, values -> (listOf(names[id] ?: "other") + values).joinToString(" ") }
    private val names = R.string::class.java.fields.associate { it.getInt(null) to it.name }

    private fun conversation(phase: Phase, change: SessionState.() -> SessionState = { this }) =
        texts.conversation(UiState(session = SessionState(phase).change()))

    @Test
    fun eachPhaseHasItsText() {
        assertEquals(
            listOf("phase_idle", "phase_checking", "", "phase_checking", "") +
                listOf("check_running", "phase_looking", "phase_seen", "phase_answering"),
            Phase.values().map { conversation(it) },
        )
    }

    @Test
    fun theLastPartOfALoadIsNotAHundredPercent() {
        assertEquals("phase_checking", conversation(Phase.LOADING) { copy(loadProgress = 0.99f) })
        assertEquals("phase_preparing", conversation(Phase.LOADING) { copy(loadProgress = 1f) })
    }

    @Test
    fun aQuestionThatWaitsIsSaidBeforeAll() {
        assertEquals("phase_waiting Why?", conversation(Phase.ENCODING) { copy(waitingQuestion = "Why?") })
    }

    @Test
    fun overTheCameraOnlyWhatKeepsTheUserWaitingIsSaid() {
        fun camera(phase: Phase) = texts.camera(UiState(session = SessionState(phase), camera = CameraState.OPEN))
        assertEquals(
            listOf("phase_idle", "phase_checking", "", "phase_checking", "", "check_running", "", "", ""),
            Phase.values().map(::camera),
        )
    }

    @Test
    fun detailsAndTheTranscriptOfAnAnswer() {
        val turn = ChatTurn("Why?", "because", Ended.STOPPED, AnswerStats(2.5, 0.5, 3, 0.0))
        assertEquals("stats_image 2.5 · stats_first 0.5", texts.details(turn))
        assertEquals("ended_stopped", texts.ending(turn))
        assertEquals("you Why?\nbecause", texts.transcript(listOf(turn, ChatTurn("And?"))))
        assertEquals("", texts.details(ChatTurn("Why?")))
    }

    @Test
    fun theAgeOfALiveAnswerIsInSeconds() {
        assertEquals("live_waiting", texts.age(LiveState("?"), 9_000))
        assertEquals("live_age 3", texts.age(LiveState("?", seenAtMs = 5_500), 9_000))
        assertEquals("live_resting", texts.age(LiveState("?", seenAtMs = 5_500, isCoolingDown = true), 9_000))
    }
}
