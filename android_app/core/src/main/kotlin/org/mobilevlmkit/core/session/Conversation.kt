package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Segment
import org.mobilevlmkit.core.prompt.TextStream
import org.mobilevlmkit.core.prompt.Turn

/** The question leaves too little room for an answer. */
internal class ContextFullException : Exception()

/** A finished answer: its [text], number of [tokens], their [ids] (null if a piece has none), and why it ended. */
internal class Answer(val text: String, val tokens: Int, val ids: List<Int>?, val ended: Ended)

/**
 * The conversation about one picture as it is in the engine's KV cache. It mirrors the cache's contents, so that a follow-up feeds
 * only what is new, and lost contents are restored. For the session's worker thread.
 */
internal class Conversation(private val model: LoadedModel, private val nanoTime: () -> Long) {
    private val engine = model.engine
    private val prompt = model.prompt
    private val planner = PrefillPlanner(prompt, model.tokenizer, model.manifest.maxPrefill)
    private val prefix = listOf(Segment.Text(prompt.beforeImage))
    private val pictureEnd = 1 + planner.tokens(prefix) + model.manifest.image.tokens // BOS, text, picture

    private var pixels: ByteArray? = null
    private var cached: List<Turn>? = null // turns in the KV cache after the image; null if its contents can't be used
    private var isEndFed = false // whether the last answer's end token is in the cache
    private var unfedText = "" // text of the last token of a truncated answer, which the engine hasn't fed yet

    /** Tokens in the KV cache. */
    var position = 0
        private set

    /** Seconds to encode the image and run it through the text decoder. */
    var imageS = 0.0
        private set

    /** The vision encoder's input for [picture]: uint8 [3, S, S]. */
    fun pixels(picture: Picture): ByteArray = model.pixels(picture)

    /** Resets the KV cache and feeds the image [pixels], uint8 [3, S, S], and [turns] about it. */
    fun start(pixels: ByteArray, turns: List<Turn> = emptyList()) {
        this.pixels = pixels
        cached = null
        engine.reset()
        position = 0
        planner.plan(prefix).forEach { engine.prefillText(it.text) }
        val began = nanoTime()
        engine.prefillImage(pixels)
        imageS = (nanoTime() - began) / 1e9
        position = pictureEnd
        for (part in planner.plan(turns.flatMapIndexed { index, turn -> turnSegments(index, turn) })) {
            engine.prefillText(part.text)
            position += part.tokens
        }
        unfedText = ""
        isEndFed = true
        cached = turns
    }

    /**
     * Answers [question] after [turns] greedily, with at most [maxNewTokens] tokens or the remaining context; null if stopped
     * before the answer began.
     *
     * @param onText the answer so far
     * @throws ContextFullException fewer than [MIN_ANSWER_TOKENS] tokens remain; nothing has run.
     */
    fun answer(turns: List<Turn>, question: String, maxNewTokens: Int, isStopped: () -> Boolean, onText: (String) -> Unit): Answer? {
        val isBuilt = cached == turns
        val asked = questionSegments(turns, question, isBuilt)
        val before = if (isBuilt) {
            position
        } else {
            pictureEnd +
                planner.tokens(turns.flatMapIndexed { index, turn -> turnSegments(index, turn) })
        }
        val room = model.manifest.maxContext - before - planner.tokens(asked)
        if (room < minOf(MIN_ANSWER_TOKENS, maxNewTokens)) throw ContextFullException()
        val texts = planner.plan(asked)
        if (!isBuilt) start(checkNotNull(pixels) { "no picture" }, turns)
        if (isStopped()) return null
        cached = null // until the engine has returned
        for (part in texts) {
            position += part.tokens
            if (part !== texts.last()) engine.prefillText(part.text)
        }
        return generate(texts.last().text, turns, question, minOf(room, maxNewTokens), isStopped, onText)
    }

    private fun generate(
        text: String,
        turns: List<Turn>,
        question: String,
        maxNewTokens: Int,
        isStopped: () -> Boolean,
        onText: (String) -> Unit,
    ): Answer {
        val stream = TextStream(model.tokenizer.specials)
        val shown = StringBuilder()
        val ids = ArrayList<Int>()
        var last = ""
        var isEnded = false
        var isStopRequested = false // the engine was asked to stop and ends after the current piece
        var isCacheInvalid = false
        fun show(new: String) {
            shown.append(new)
            if (new.isNotEmpty()) onText(shown.toString())
        }
        engine.generate(text, position, maxNewTokens) { piece ->
            if (isEnded || ids.size == maxNewTokens) {
                isCacheInvalid = true // it continued after an immediate end of text, or counts differently
            } else if (piece == prompt.stopText) {
                isEnded = true
            } else {
                ids.add(model.tokenizer.id(piece))
                last = piece
                show(stream.add(piece))
            }
            isStopRequested = isEnded || isCacheInvalid || isStopped()
            if (isStopRequested) engine.stop()
        }
        show(stream.finish())
        val tokens = ids.size
        val isCut = tokens == maxNewTokens || isStopped()
        if (!isCut) isEnded = true // engines need not report the stop token's piece
        // It was stopped after the last piece, and the engine doesn't report whether it has fed that piece.
        if (!isEnded && tokens < maxNewTokens && !isStopRequested) isCacheInvalid = true
        // The engine feeds a token when it computes the next, so the last one is fed only if the end of text followed it.
        position += if (isEnded || tokens == 0) tokens else tokens - 1
        unfedText = if (isEnded) "" else textOf(last)
        isEndFed = false
        cached = if (isCacheInvalid) null else turns + Turn(question, shown.toString())
        val ended = if (isEnded) {
            Ended.COMPLETE
        } else if (tokens < maxNewTokens) {
            Ended.STOPPED
        } else {
            Ended.LENGTH
        }
        return Answer(shown.toString(), tokens, ids.takeIf { -1 !in it }, ended)
    }

    /** The text that the engine tokenizes as [piece] alone, or "": a token inside a word has no such text. */
    private fun textOf(piece: String): String {
        val own = if (model.tokenizer.addsSpace) piece.removePrefix("${TextStream.SPACE}") else piece
        val text = own.replace(TextStream.SPACE, ' ')
        val ids = model.tokenizer.encode(text)
        return if (ids.size == 1 && ids[0] == model.tokenizer.id(piece)) text else ""
    }

    /** The segments that ask [question]; with a cache that [isBuilt], the missing end of the last answer comes first. */
    private fun questionSegments(turns: List<Turn>, question: String, isBuilt: Boolean): List<Segment> {
        val plain = plain(question)
        if (turns.isEmpty()) return listOf(Segment.Text(prompt.afterImage(plain)))
        val lacking = if (!isBuilt || isEndFed) emptyList() else listOf(Segment.Text(unfedText), Segment.End)
        return lacking + Segment.Text(prompt.followUp(plain))
    }

    /** A finished turn and the end of its answer. */
    private fun turnSegments(index: Int, turn: Turn): List<Segment> {
        val question = plain(turn.question)
        val asked = if (index == 0) prompt.afterImage(question) else prompt.followUp(question)
        return listOf(Segment.Text("$asked ${plain(turn.answer ?: "")}"), Segment.End)
    }

    private fun plain(text: String) = Prompt.withoutSpecials(text, model.tokenizer.specials)

    companion object {
        /** The least room, in tokens, for which an answer is begun. */
        const val MIN_ANSWER_TOKENS = 16
    }
}
