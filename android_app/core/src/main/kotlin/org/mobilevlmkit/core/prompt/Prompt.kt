package org.mobilevlmkit.core.prompt

import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.bundle.PromptSpec

/** A question and its answer, which is missing for the question being asked. */
data class Turn(val question: String, val answer: String? = null)

/** A part of a prompt. */
sealed class Segment {
    data class Text(val text: String) : Segment()

    /** The picture's tokens. */
    object Image : Segment()

    /** The end of an answer: the first of the stop ids. */
    object End : Segment()
}

/** The prompt template of a bundle, from its manifest's [spec]. User and model texts are inserted unchanged. */
class Prompt(private val spec: PromptSpec) {
    /** The constant text before the picture. */
    val beforeImage: String get() = spec.beforeImage

    /** The text that ends generation and is never shown. */
    val stopText: String get() = spec.stopText

    /** The text after the picture that asks the first [question]. */
    fun afterImage(question: String): String = filled(spec.afterImage, question)

    /** The text after a finished answer and its end that asks another [question]. */
    fun followUp(question: String): String = filled(spec.followUp, question)

    /**
     * The whole conversation [turns] in the template.
     *
     * @throws PromptException a question is empty, `turns` is empty, or a turn before the last has no answer.
     */
    fun segments(turns: List<Turn>): List<Segment> {
        if (turns.isEmpty()) throw PromptException("conversation: got no turn, expected at least one question")
        val segments = arrayListOf(Segment.Text(beforeImage), Segment.Image)
        turns.forEachIndexed { index, turn ->
            val asked = if (index == 0) afterImage(turn.question) else followUp(turn.question)
            if (turn.answer == null) {
                if (index < turns.size - 1) {
                    throw PromptException("conversation: turn ${index + 1} has no answer, expected one before the next question")
                }
                segments.add(Segment.Text(asked))
            } else {
                segments.add(Segment.Text("$asked ${turn.answer}"))
                segments.add(Segment.End)
            }
        }
        return segments
    }

    private fun filled(template: String, question: String): String {
        if (question.isBlank()) throw PromptException("question: got an empty text, expected a question")
        val at = template.indexOf(QUESTION)
        return template.substring(0, at) + question + template.substring(at + QUESTION.length)
    }

    companion object {
        /** The placeholder for a question in the manifest's texts. */
        const val QUESTION = "{question}"

        /**
         * Changes [text] so that an engine finds none of [specials] in it, by inserting a space after each one's first character. A text
         * without special tokens stays unchanged.
         *
         * The engine on a phone takes text, not ids, and would treat `</s>` typed by a user as the end of the text.
         */
        fun withoutSpecials(text: String, specials: List<String>): String =
            specials.fold(text) { plain, special -> plain.replace(special, "${special.first()} ${special.substring(1)}") }
    }
}
