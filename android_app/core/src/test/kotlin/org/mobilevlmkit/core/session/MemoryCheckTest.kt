package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Test

class MemoryCheckTest {
    @Test
    fun whatTheSystemKeepsIsNotUsable() {
        assertEquals(700L, MemoryCheck.usable(available = 1_000, threshold = 300))
        assertEquals(0L, MemoryCheck.usable(available = 200, threshold = 300))
    }

    @Test
    fun aModelFitsUpToTheLastByteButNotEasily() {
        val fits = listOf(0L, 800, 801, 1_000, 1_001).map { MemoryCheck.fit(needed = it, usable = 1_000) }
        assertEquals(listOf(MemoryFit.FITS, MemoryFit.FITS, MemoryFit.TIGHT, MemoryFit.TIGHT, MemoryFit.TOO_LITTLE), fits)
    }
}
