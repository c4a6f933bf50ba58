package org.mobilevlmkit.core.session

/** Whether a phone has the memory that a bundle needs. */
enum class MemoryFit {
    FITS,

    /** It can be loaded, but the system may close other apps for it. */
    TIGHT,

    /** It is not loaded, because the system would close this app. */
    TOO_LITTLE,
}

/** How much of a phone's memory a model may use. */
object MemoryCheck {
    /** A model that needs more than this fraction of the usable memory is a tight fit. */
    private const val COMFORTABLE = 0.8

    /**
     * Bytes that a model may use, given [available] bytes (`ActivityManager.MemoryInfo.availMem`) of which the system reserves
     * [threshold] (below it, the system closes apps). Files in the page cache count as available, including the program, which is
     * memory-mapped, so that its pages can be dropped and read again.
     */
    fun usable(available: Long, threshold: Long): Long = maxOf(0, available - threshold)

    /** Whether a bundle that needs [needed] bytes fits into [usable] ones. */
    fun fit(needed: Long, usable: Long): MemoryFit = when {
        needed > usable -> MemoryFit.TOO_LITTLE
        needed > usable * COMFORTABLE -> MemoryFit.TIGHT
        else -> MemoryFit.FITS
    }
}
