package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.json.JsonFields
import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode

/** A tensor's [shape], Euclidean [norm], and 64 [values] at the flat indices `i * size / 64`. */
data class Sketch(val shape: List<Int>, val norm: Double, val values: List<Double>) {
    companion object {
        const val VALUES = 64

        /** From the flat [tensor] of shape [shape]; values rounded to six digits. */
        fun of(tensor: FloatArray, shape: List<Int>): Sketch {
            require(tensor.size == shape.fold(1, Int::times) && tensor.isNotEmpty()) {
                "got ${tensor.size} values, expected the shape $shape"
            }
            var squares = 0.0
            for (value in tensor) squares += value.toDouble() * value
            val picked = List(VALUES) { rounded(tensor[(it.toLong() * tensor.size / VALUES).toInt()].toDouble()) }
            return Sketch(shape, rounded(Math.sqrt(squares)), picked)
        }
    }
}

/** The ten largest logits, largest first, and their token ids. */
data class TopLogits(val tokenIds: List<Int>, val values: List<Double>) {
    companion object {
        const val COUNT = 10

        /** Of [logits], one for each token of the vocabulary. */
        fun of(logits: FloatArray): TopLogits {
            val ids = logits.indices.sortedByDescending { logits[it] }.take(COUNT)
            return TopLogits(ids, ids.map { rounded(logits[it].toDouble()) })
        }
    }
}

/**
 * The stage-by-stage results of one question: a golden record, or a phone's capture. Same fields as Python's
 * `Record` (`docs/reference/bundle-format.md`).
 *
 * @property answerIds null if the engine reports only text
 * @property stopReason `eos`, `length` or `stopped`
 */
data class Record(
    val question: String,
    val maxNewTokens: Int,
    val pixelsSha256: String,
    val idsBeforeImage: List<Int>,
    val idsAfterImage: List<Int>,
    val imageEmbedding: Sketch,
    val firstLogits: TopLogits,
    val answer: String,
    val answerIds: List<Int>?,
    val stopReason: String,
) {
    fun toJson(): Map<String, Any?> = linkedMapOf(
        "question" to question,
        "max_new_tokens" to maxNewTokens,
        "pixels_sha256" to pixelsSha256,
        "ids_before_image" to idsBeforeImage,
        "ids_after_image" to idsAfterImage,
        "image_embedding" to linkedMapOf("shape" to imageEmbedding.shape, "norm" to imageEmbedding.norm, "values" to imageEmbedding.values),
        "first_logits" to linkedMapOf("token_ids" to firstLogits.tokenIds, "values" to firstLogits.values),
        "answer" to answer,
        "answer_ids" to answerIds,
        "stop_reason" to stopReason,
    )

    companion object {
        /**
         * Reads what [toJson] or Python wrote; errors name [where].
         *
         * @throws CaptureException a field is missing or has the wrong type.
         */
        fun fromJson(values: Any?, where: String): Record {
            val fail = { message: String -> CaptureException("$where: $message") }
            val fields = JsonFields(values as? Map<*, *> ?: throw fail("got ${JsonFields.shown(values, 60)}, expected an object"), fail)
            fun integers(name: String) = fields.integers(name, filled = false).asList()
            return Record(
                question = fields.text("question"),
                maxNewTokens = fields.integer("max_new_tokens", 1..Int.MAX_VALUE),
                pixelsSha256 = fields.text("pixels_sha256"),
                idsBeforeImage = integers("ids_before_image"),
                idsAfterImage = integers("ids_after_image"),
                imageEmbedding = Sketch(
                    integers("image_embedding.shape"),
                    fields.decimal("image_embedding.norm"),
                    fields.decimals("image_embedding.values").asList(),
                ),
                firstLogits = TopLogits(integers("first_logits.token_ids"), fields.decimals("first_logits.values").asList()),
                answer = fields.text("answer"),
                answerIds = if (fields.find("answer_ids") == null) null else integers("answer_ids"),
                stopReason = fields.text("stop_reason"),
            )
        }
    }
}

/** [value] to six digits, as Python's `%.6g` rounds. */
private fun rounded(value: Double): Double =
    if (value.isNaN() || value.isInfinite()) value else BigDecimal(value).round(MathContext(6, RoundingMode.HALF_EVEN)).toDouble()
