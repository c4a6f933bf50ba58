package org.mobilevlmkit.app

import org.mobilevlmkit.core.live.FrameSketch
import org.mobilevlmkit.core.live.LiveAction
import org.mobilevlmkit.core.live.LiveSession
import org.mobilevlmkit.core.session.VlmSession

/** Connects live mode to the camera thread, where frames arrive, and the main thread, where the answer is shown. */
class LiveLoop(
    question: String,
    private val session: VlmSession,
    private val dependencies: Dependencies,
    private val isInForeground: () -> Boolean,
    private val onChange: (LiveState) -> Unit,
) {
    private val lock = Any()
    private val loop = LiveSession(session, question)
    private var live = LiveState(question)

    @Volatile
    private var isEnded = false

    /** On the camera's thread. */
    fun onFrame(frame: Frame) = synchronized(lock) {
        if (isEnded) return
        val sketch = FrameSketch.of(frame.width, frame.height, frame.y)
        val action = loop.onFrame(sketch, dependencies.nowMs(), dependencies.phone.condition(isInForeground()), frame::picture)
        update(live.copy(isCoolingDown = action == LiveAction.PAUSE))
    }

    /** The session has a new state. It is read here, because a posted state may be older than the last frame. */
    fun onSession() = synchronized(lock) {
        if (isEnded) return
        val state = session.state
        val now = dependencies.nowMs()
        loop.onState(state, now)
        val age = loop.frameAgeMs(state, now)
        val turn = state.turns.lastOrNull() ?: return
        if (age == null || turn.answer.isEmpty()) return
        update(live.copy(answer = turn.answer, isWhole = turn.ended != null, seenAtMs = now - age))
    }

    fun end() = synchronized(lock) {
        isEnded = true
        session.stop()
    }

    private fun update(new: LiveState) {
        if (new == live) return
        live = new
        dependencies.main.execute { if (!isEnded) onChange(new) }
    }
}
