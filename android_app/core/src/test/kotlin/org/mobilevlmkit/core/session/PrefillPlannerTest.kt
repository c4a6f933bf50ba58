package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Test
import org.mobilevlmkit.core.prompt.EngineTokens
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Segment

/** What is fed has the ids of the separate segments, whatever is joined or cut. */
class PrefillPlannerTest {
    private val fixture = SessionFixture()

    /** The texts for [segments]; those have at most [maxPrefill] tokens each, and [ids] together. */
    private fun planned(maxPrefill: Int, ids: List<Int>, vararg segments: Segment): List<String> {
        val texts = PrefillPlanner(Prompt(fixture.manifest.prompt), fixture.tokenizer, maxPrefill).plan(segments.asList())
        val fed = texts.map { EngineTokens.encode(fixture.tokenizer, it.text).asList() }
        assertEquals(fed.map { it.size }, texts.map { it.tokens })
        assertEquals(ids, fed.flatten())
        return texts.map { it.text }
    }

    @Test
    fun onlyTextsWithAnEndBetweenThemAreJoined() {
        val (a, b) = listOf(Segment.Text("re"), Segment.Text("d"))
        assertEquals(listOf("re", "d</s>re"), planned(9, fixture.ids("re", "d", "</s>", "re"), a, b, Segment.End, a))
    }

    /** An empty answer of a restored conversation leaves a space at the end. */
    @Test
    fun aSpaceAtTheEndIsNotCutOff() {
        for (words in 1..9) {
            val text = "a ".repeat(words)
            assertEquals(text, planned(4, fixture.ids(text), Segment.Text(text)).joinToString(" "))
        }
    }
}
