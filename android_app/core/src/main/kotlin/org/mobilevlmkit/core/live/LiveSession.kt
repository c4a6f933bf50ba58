package org.mobilevlmkit.core.live

import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionState
import org.mobilevlmkit.core.session.VlmSession

/**
 * Live mode at work: keeps asking a [session] a standing [question] about the newest camera frame, as [LiveMode] has it. For one thread;
 * times as in [LivePolicy].
 */
class LiveSession(private val session: VlmSession, private val question: String, private val maxNewTokens: Int = MAX_NEW_TOKENS) {
    private val mode = LiveMode()
    private var shown = 0 // the number of the picture that is described
    private var shownAtMs = 0L

    /**
     * A frame came at [nowMs]; [picture] makes it a picture of its own, and is called only if it is to be described.
     * Returns what was done.
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

    /** The session said [state], which may have been overtaken meanwhile. */
    fun onState(state: SessionState, nowMs: Long) {
        if (!isAbout(state)) return
        val ended = state.turns.lastOrNull()?.ended
        if (ended != null || state.problem != null) mode.onAnswered(nowMs, isFailed = state.problem != null)
    }

    /** Milliseconds since the described frame came, the one that [state]'s answer is about; null if it is about another picture. */
    fun frameAgeMs(state: SessionState, nowMs: Long): Long? = if (isAbout(state)) nowMs - shownAtMs else null

    private fun isAbout(state: SessionState) = shown != 0 && state.picture == shown

    companion object {
        /** Live answers are short: the next frame waits. */
        const val MAX_NEW_TOKENS = 64
        private val LOADED_PHASES = setOf(Phase.READY, Phase.ENCODING, Phase.IMAGE_READY, Phase.ANSWERING)
    }
}
