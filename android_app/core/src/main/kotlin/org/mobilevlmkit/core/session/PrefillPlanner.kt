package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Segment
import org.mobilevlmkit.core.prompt.Tokenizer

/** One text for the engine and the tokens that it makes of it. */
internal data class PrefillText(val text: String, val tokens: Int)

/**
 * Texts and ends of answers → as few texts for the engine as there can be, none of more than [maxPrefill] tokens, whose ids together
 * are those of the segments one by one.
 */
internal class PrefillPlanner(private val prompt: Prompt, private val tokenizer: Tokenizer, private val maxPrefill: Int) {
    fun plan(segments: List<Segment>): List<PrefillText> {
        val texts = ArrayList<PrefillText>()
        // The engine finds the stop text and encodes what is on either side by itself, so only two plain texts may not touch.
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

    /** Tokens of [segments]; a picture isn't counted. */
    fun tokens(segments: List<Segment>): Int = segments.sumOf {
        when (it) {
            is Segment.Text -> tokenizer.encode(it.text).size
            Segment.End -> 1
            Segment.Image -> 0
        }
    }

    /** [text] in parts of at most [maxPrefill] tokens, cut at spaces where the ids stay the same. */
    private fun split(text: String): List<PrefillText> {
        val ids = tokenizer.encode(text)
        if (ids.size <= maxPrefill) return if (ids.isEmpty()) emptyList() else listOf(PrefillText(text, ids.size))
        for (at in text.indices.reversed()) {
            if (text[at] != ' ' || at == 0) continue
            val left = tokenizer.encode(text.substring(0, at))
            if (left.size > maxPrefill) continue
            // Where the tokenizer puts a space in front of each text, that is the one that is cut out here.
            val rest = text.substring(if (tokenizer.addsSpace) at + 1 else at)
            if (left + tokenizer.encode(rest) contentEquals ids) return listOf(PrefillText(text.substring(0, at), left.size)) + split(rest)
        }
        throw PromptException("question: got ${ids.size} tokens without a space to cut at, expected at most $maxPrefill")
    }
}
