package org.mobilevlmkit.core.session

/** Whether a phone has the memory that a bundle needs. */
enum class MemoryFit {
    FITS,

    /** It can be loaded, but the system may close other apps for it. */
    TIGHT,

    /** It is not loaded: the system would close this app. */
    TOO_LITTLE,
}

/** How much of a phone's memory a model may take. */
object MemoryCheck {
    /** A model that takes more than this share of what it may have is a tight fit. */
    private const val COMFORTABLE = 0.8

    /**
     * Bytes that a model may take, of [available] bytes (`ActivityManager.MemoryInfo.availMem`), of which the system keeps
     * [threshold] (`threshold`: below it, it closes apps). Files in the page cache count as available, and the program is one: it is
     * mapped, so that its pages can go and come back.
     */
    fun usable(available: Long, threshold: Long): Long = maxOf(0, available - threshold)

    /** Whether a bundle that needs [needed] bytes fits into [usable] ones. */
    fun fit(needed: Long, usable: Long): MemoryFit = when {
        needed > usable -> MemoryFit.TOO_LITTLE
        needed > usable * COMFORTABLE -> MemoryFit.TIGHT
        else -> MemoryFit.FITS
    }
}
