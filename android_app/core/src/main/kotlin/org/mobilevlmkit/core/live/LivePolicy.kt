package org.mobilevlmkit.core.live

/** The phone's thermal status; ordinals equal Android's `THERMAL_STATUS_…` values. */
enum class Thermal { NONE, LIGHT, MODERATE, SEVERE, CRITICAL, EMERGENCY, SHUTDOWN }

/** The phone's current condition, read again for each frame. */
data class PhoneCondition(val thermal: Thermal = Thermal.NONE, val isBatterySaver: Boolean = false, val isInForeground: Boolean = true)

/** What to do with a frame. */
enum class LiveAction {
    /** Nothing: too early, or nothing new to see. */
    SKIP,

    /** Describe this frame. */
    DESCRIBE,

    /** The scene has changed while it is being described: stop, and describe this frame. */
    REPLACE,

    /** The phone is too hot, or the app is in the background: stop the answer and ignore frames. */
    PAUSE,
}

/** Whether and how often live mode describes frames. Times are milliseconds of a monotonic clock. */
object LivePolicy {
    /** A scene that differs by more than this is a new one. */
    const val CHANGED = 0.06

    /** How often in a row a changed scene may stop an answer. The next answer is finished, or a moving camera would never get one. */
    const val MAX_REPLACED = 2

    /** Milliseconds to wait after each answer for a phone in [condition]; null if live mode pauses. */
    fun cooldownMs(condition: PhoneCondition): Long? {
        val warm = when (condition.thermal) {
            Thermal.NONE -> 500L
            Thermal.LIGHT -> 2_000L
            Thermal.MODERATE -> 6_000L
            else -> return null
        }
        if (!condition.isInForeground) return null
        return if (condition.isBatterySaver) maxOf(warm, 4_000L) * 2 else warm
    }
}

/**
 * Live mode: chooses the camera frames to describe. The newest frame wins; a frame replaces one being described only if the
 * scene has changed; a still scene is described once. For one thread.
 */
class LiveMode {
    private var described: FrameSketch? = null // the frame being described, or the last one described
    private var isBusy = false
    private var cooldownFrom = Long.MIN_VALUE / 2
    private var isFailed = false
    private var replaced = 0 // frames in a row whose description was cut short

    /**
     * What to do with [frame], which arrived at [nowMs]. After DESCRIBE or REPLACE it counts as being described.
     *
     * @param canDescribe whether a model is loaded
     * @param isWaiting whether encoding of the current frame hasn't begun, so that replacing it costs nothing
     */
    fun onFrame(
        frame: FrameSketch,
        nowMs: Long,
        condition: PhoneCondition,
        canDescribe: Boolean = true,
        isWaiting: Boolean = false,
    ): LiveAction {
        val cooldown = LivePolicy.cooldownMs(condition)
        if (cooldown == null) {
            isBusy = false
            described = null
            cooldownFrom = nowMs
            return LiveAction.PAUSE
        }
        val isChanged = described?.let { it.difference(frame) > LivePolicy.CHANGED } ?: true
        val action = when {
            !canDescribe -> LiveAction.SKIP
            isBusy && isWaiting -> LiveAction.REPLACE
            isBusy -> if (isChanged && replaced < LivePolicy.MAX_REPLACED) LiveAction.REPLACE else LiveAction.SKIP
            !isChanged && !isFailed -> LiveAction.SKIP
            nowMs - cooldownFrom < cooldown -> LiveAction.SKIP
            else -> LiveAction.DESCRIBE
        }
        if (action != LiveAction.SKIP) {
            described = frame
            isBusy = true
            isFailed = false
            replaced = if (action == LiveAction.DESCRIBE) {
                0
            } else if (isWaiting) {
                replaced
            } else {
                replaced + 1
            }
        }
        return action
    }

    /** The frame's answer ended at [nowMs]; after a failure the same scene is described again. */
    fun onAnswered(nowMs: Long, isFailed: Boolean = false) {
        if (!isBusy) return
        isBusy = false
        cooldownFrom = nowMs
        this.isFailed = isFailed
    }
}
