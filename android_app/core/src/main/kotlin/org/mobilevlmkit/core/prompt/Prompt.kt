package org.mobilevlmkit.core.prompt

import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.bundle.PromptSpec

/** A question and, unless it is the one being asked, its answer. */
data class Turn(val question: String, val answer: String? = null)

/** What a prompt is made of. */
sealed class Segment {
    data class Text(val text: String) : Segment()

    /** The picture's tokens. */
    object Image : Segment()

    /** The end of an answer: the first of the stop ids. */
    object End : Segment()
}

/** The conversation template of a bundle, by its manifest's [spec]. Texts of a user and of a model go in as they are. */
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
     * @throws PromptException a question is empty, there is none, or one that isn't the last has no answer.
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
        /** Where a question goes in the manifest's texts. */
        const val QUESTION = "{question}"

        /**
         * [text] such that an engine finds none of [specials] in it: a space is put behind each one's first character. A text that
         * spells no special token stays as it is.
         *
         * The engine on a phone takes texts, not ids, and would read `</s>` typed by a user as the end of the text.
         */
        fun withoutSpecials(text: String, specials: List<String>): String =
            specials.fold(text) { plain, special -> plain.replace(special, "${special.first()} ${special.substring(1)}") }
    }
}
