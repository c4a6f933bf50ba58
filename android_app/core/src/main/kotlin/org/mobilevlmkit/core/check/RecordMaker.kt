package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.LoadedModel
import java.io.Closeable

/** Calls the program's methods one by one (on Android, ExecuTorch's `Module`), to record each stage's results. */
interface ModelMethods : Closeable {
    /** [pixels], uint8 [3, S, S] → image embeddings [tokens, D], flat. */
    fun visionEncoder(pixels: ByteArray): FloatArray

    /** [ids] [T] → [T, D], flat. */
    fun tokenEmbedding(ids: LongArray): FloatArray

    /** [embeds] [T, D], flat, the first at [position] → logits [V] of the last. */
    fun textDecoder(embeds: FloatArray, position: Long): FloatArray
}

/** Token ids of a first question, as the engine produces them. */
internal class PromptIds(private val model: LoadedModel) {
    val before: List<Int> = listOf(model.manifest.prompt.bosId) + model.tokenizer.encode(model.prompt.beforeImage).asList()

    fun after(question: String): List<Int> =
        model.tokenizer.encode(model.prompt.afterImage(Prompt.withoutSpecials(question, model.tokenizer.specials))).asList()
}

/** Makes the record of an answer to a first question for a capture: each stage is run again with [methods]. */
class RecordMaker(private val model: LoadedModel, private val methods: ModelMethods) {
    /**
     * The record of [question] about [pixels] (uint8 [3, S, S]), which the engine answered with [answer].
     *
     * @param answerIds its tokens; null if the engine doesn't report them
     */
    fun make(pixels: ByteArray, question: String, maxNewTokens: Int, answer: String, answerIds: List<Int>?, ended: Ended): Record {
        val ids = PromptIds(model)
        val after = ids.after(question)
        val embedding = methods.visionEncoder(pixels)
        val width = model.manifest.sizes.hiddenSize
        val embeds = embeds(ids.before) + embedding + embeds(after)
        return Record(
            question = question,
            maxNewTokens = maxNewTokens,
            pixelsSha256 = Sha256.of(pixels),
            idsBeforeImage = ids.before,
            idsAfterImage = after,
            imageEmbedding = Sketch.of(embedding, listOf(1, model.manifest.image.tokens, width)),
            firstLogits = TopLogits.of(prefill(embeds, width)),
            answer = answer,
            answerIds = answerIds,
            stopReason = ended.reason,
        )
    }

    private fun embeds(ids: List<Int>): FloatArray {
        val longest = model.manifest.maxPrefill
        return ids.chunked(longest).map { part -> methods.tokenEmbedding(LongArray(part.size) { part[it].toLong() }) }
            .reduce { all, part -> all + part }
    }

    /** Logits after [embeds], in calls of at most `max_prefill` tokens. */
    private fun prefill(embeds: FloatArray, width: Int): FloatArray {
        val step = model.manifest.maxPrefill * width
        var logits = FloatArray(0)
        for (at in embeds.indices step step) {
            logits = methods.textDecoder(embeds.copyOfRange(at, minOf(at + step, embeds.size)), (at / width).toLong())
        }
        return logits
    }
}
