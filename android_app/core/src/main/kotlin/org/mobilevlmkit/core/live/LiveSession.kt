package org.mobilevlmkit.core.live

import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionState
import org.mobilevlmkit.core.session.VlmSession

/**
 * Runs live mode: keeps asking a [session] the same [question] about the newest frame that [LiveMode] chooses. For one thread;
 * times as in [LivePolicy].
 */
class LiveSession(private val session: VlmSession, private val question: String, private val maxNewTokens: Int = MAX_NEW_TOKENS) {
    private val mode = LiveMode()
    private var shown = 0 // the number of the picture being described
    private var shownAtMs = 0L

    /**
     * A frame arrived at [nowMs]. [picture] copies it, and is called only if the frame is described.
     * Returns the action taken.
     */
    fun onFrame(frame: FrameSketch, nowMs: Long, condition: PhoneCondition, picture: () -> Picture): LiveAction {
        val state = session.state
        onState(state, nowMs)
        val isWaiting = isAbout(state) && state.isPictureWaiting
        val action = mode.onFrame(frame, nowMs, condition, canDescribe = state.phase in LOADED_PHASES, isWaiting = isWaiting)
        when (action) {
            LiveAction.DESCRIBE, LiveAction.REPLACE -> {
                shown = session.show(picture(), question, maxNewTokens)
                shownAtMs = nowMs
            }
            LiveAction.PAUSE -> if (isAbout(state)) session.stop()
            LiveAction.SKIP -> Unit
        }
        return action
    }

    /** The session reported [state], which may be outdated by now. */
    fun onState(state: SessionState, nowMs: Long) {
        if (!isAbout(state)) return
        val ended = state.turns.lastOrNull()?.ended
        if (ended != null || state.problem != null) mode.onAnswered(nowMs, isFailed = state.problem != null)
    }

    /** The age in milliseconds of the frame that the answer in [state] is about; null if it is about another picture. */
    fun frameAgeMs(state: SessionState, nowMs: Long): Long? = if (isAbout(state)) nowMs - shownAtMs else null

    private fun isAbout(state: SessionState) = shown != 0 && state.picture == shown

    companion object {
        /** Live answers are short, because the next frame is waiting. */
        const val MAX_NEW_TOKENS = 64
        private val LOADED_PHASES = setOf(Phase.READY, Phase.ENCODING, Phase.IMAGE_READY, Phase.ANSWERING)
    }
}
