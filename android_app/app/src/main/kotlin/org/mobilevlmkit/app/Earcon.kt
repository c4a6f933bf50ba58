package org.mobilevlmkit.app

import org.mobilevlmkit.core.session.Ended

/** A short sound for people who can't see the screen: notes of a frequency in hertz and a length in milliseconds. */
enum class Earcon(private vararg val notes: Pair<Int, Int>) {
    SHUTTER(1800 to 30, 1200 to 40),
    BEGAN(660 to 90),
    DONE(660 to 80, 880 to 120),
    FAILED(330 to 120, 220 to 180),
    ;

    val ms: Int get() = notes.sumOf { it.second }

    /** 16-bit samples at [RATE] per second. Each note swells and fades, or it would click. */
    fun samples(): ShortArray = notes.flatMap { (hertz, ms) ->
        val count = RATE * ms / 1000
        List(count) { at ->
            val swell = minOf(1.0, at / FADE, (count - 1 - at) / FADE)
            (LOUDNESS * swell * Math.sin(2 * Math.PI * hertz * at / RATE)).toInt().toShort()
        }
    }.toShortArray()

    companion object {
        /** Samples per second. */
        const val RATE = 44_100
        private const val FADE = RATE * 0.008
        private const val LOUDNESS = Short.MAX_VALUE * 0.4

        /** The sound of a change of the state; null if there is none. Live mode's answers have none: screen readers read them out. */
        fun of(before: UiState, after: UiState): Earcon? {
            val (old, new) = before.session to after.session
            if (new.problem != null && new.problem != old.problem) return FAILED
            if (after.live != null || new.picture != old.picture) return null
            val turn = new.turns.lastOrNull() ?: return null
            val isNew = new.turns.size > old.turns.size
            if (!isNew && (new.turns.size < old.turns.size || old.turns.last().ended != null)) return null
            return when (turn.ended) {
                null -> BEGAN.takeIf { isNew }
                Ended.COMPLETE, Ended.LENGTH -> DONE
                Ended.FAILED -> FAILED
                Ended.STOPPED -> null
            }
        }
    }
}
