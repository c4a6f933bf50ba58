package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Segment
import org.mobilevlmkit.core.prompt.Tokenizer

/** A text for one prefill call of the engine, and its number of tokens. */
internal data class PrefillText(val text: String, val tokens: Int)

/**
 * Combines segments into as few prefill texts as possible, each of at most [maxPrefill] tokens, such that their ids together
 * equal the ids of the separate segments.
 */
internal class PrefillPlanner(private val prompt: Prompt, private val tokenizer: Tokenizer, private val maxPrefill: Int) {
    fun plan(segments: List<Segment>): List<PrefillText> {
        val texts = ArrayList<PrefillText>()
        // The engine splits at the stop text and encodes both sides separately, so only two plain texts must not be joined.
        var touchable = false
        for (segment in segments) {
            val isEnd = segment === Segment.End
            val parts = if (segment is Segment.Text) split(segment.text) else listOf(PrefillText(prompt.stopText, 1))
            parts.forEachIndexed { index, part ->
                val last = texts.lastOrNull()
                if (last != null && (isEnd || touchable) && index == 0 && last.tokens + part.tokens <= maxPrefill) {
                    texts[texts.size - 1] = PrefillText(last.text + part.text, last.tokens + part.tokens)
                } else {
                    texts.add(part)
                }
            }
            touchable = isEnd
        }
        return texts
    }

    /** Tokens of [segments], not counting the image. */
    fun tokens(segments: List<Segment>): Int = segments.sumOf {
        when (it) {
            is Segment.Text -> tokenizer.encode(it.text).size
            Segment.End -> 1
            Segment.Image -> 0
        }
    }

    /** Splits [text] into parts of at most [maxPrefill] tokens, at spaces where the ids stay the same. */
    private fun split(text: String): List<PrefillText> {
        val ids = tokenizer.encode(text)
        if (ids.size <= maxPrefill) return if (ids.isEmpty()) emptyList() else listOf(PrefillText(text, ids.size))
        for (at in text.indices.reversed()) {
            if (text[at] != ' ' || at == 0) continue
            val left = tokenizer.encode(text.substring(0, at))
            if (left.size > maxPrefill) continue
            // If the tokenizer adds a space before each text, that space replaces the one removed here.
            val rest = text.substring(if (tokenizer.addsSpace) at + 1 else at)
            if (left + tokenizer.encode(rest) contentEquals ids) return listOf(PrefillText(text.substring(0, at), left.size)) + split(rest)
        }
        throw PromptException("question: got ${ids.size} tokens without a space to cut at, expected at most $maxPrefill")
    }
}
