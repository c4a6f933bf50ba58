package org.mobilevlmkit.core.live

/** How warm the phone is, in the order of Android's `THERMAL_STATUS_…` values (their number is the ordinal). */
enum class Thermal { NONE, LIGHT, MODERATE, SEVERE, CRITICAL, EMERGENCY, SHUTDOWN }

/** What the phone allows: read anew for each frame. */
data class PhoneCondition(val thermal: Thermal = Thermal.NONE, val isBatterySaver: Boolean = false, val isInForeground: Boolean = true)

/** What to do with a frame. */
enum class LiveAction {
    /** Nothing: too early, or nothing new to see. */
    SKIP,

    /** Describe this frame. */
    DESCRIBE,

    /** The scene has changed while it is being described: stop, and describe this frame. */
    REPLACE,

    /** The phone is too hot, or the app isn't seen: stop what runs, and look at nothing. */
    PAUSE,
}

/** Whether and how often live mode looks. Times are milliseconds of one clock that never goes back. */
object LivePolicy {
    /** A scene this unlike the one described is another one. */
    const val CHANGED = 0.06

    /** So many times in a row a changed scene may stop an answer; then one is finished, or a moving camera would never say anything. */
    const val MAX_REPLACED = 2

    /** Milliseconds of rest after each answer for a phone in [condition]; null: live mode pauses. */
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
 * Live mode: which camera frames are looked at. The newest frame wins; one that comes while another is described replaces it only if the
 * scene has changed; a still scene is described once. For one thread.
 */
class LiveMode {
    private var described: FrameSketch? = null // the frame being described, or described last
    private var isBusy = false
    private var cooldownFrom = Long.MIN_VALUE / 2
    private var isFailed = false
    private var replaced = 0 // frames in a row that were not described to their end

    /**
     * What to do with [frame], which came at [nowMs]. After DESCRIBE or REPLACE it counts as being described.
     *
     * @param canDescribe whether there is a model that could
     * @param isWaiting whether the frame being described hasn't begun to be encoded: then a newer one takes its place for nothing
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

    /** The frame's answer came to its end at [nowMs], or failed: then the same scene is looked at again. */
    fun onAnswered(nowMs: Long, isFailed: Boolean = false) {
        if (!isBusy) return
        isBusy = false
        cooldownFrom = nowMs
        this.isFailed = isFailed
    }
}
