package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.json.JsonFields

/**
 * The model sizes that a phone needs, from the manifest's `model` (the published `config.json` keys).
 *
 * @property vocabSize tokens of the vocabulary
 * @property hiddenSize width of a token's embedding
 * @property imageSize side of the vision encoder's square, in pixels
 * @property imageTokens tokens of an image in the prompt: one for each patch, or for two by two if the projector pools them
 */
data class ModelSizes(val name: String, val vocabSize: Int, val hiddenSize: Int, val imageSize: Int, val imageTokens: Int) {
    companion object {
        /** Reads and validates [model]; [fail] makes an error from "KEY: got …, expected …". */
        internal fun from(model: Map<*, *>, fail: (String) -> Exception): ModelSizes {
            val llm = Sizes(model, fail)
            val heads = llm.positive("num_attention_heads")
            val keyValueHeads = llm.positive("num_key_value_heads", heads)
            val hiddenSize = llm.positive("hidden_size")
            val vocabSize = llm.positive("vocab_size")
            listOf("intermediate_size", "num_hidden_layers").forEach { llm.positive(it) }
            llm.positive("max_position_embeddings", 2048)
            llm.require(hiddenSize % heads == 0, "hidden_size", hiddenSize, "a multiple of $heads heads")
            llm.require(hiddenSize / heads % 2 == 0, "head_dim", hiddenSize / heads, "an even number, because RoPE turns pairs")
            llm.require(heads % keyValueHeads == 0, "num_key_value_heads", keyValueHeads, "a divisor of $heads heads")
            for (key in listOf("bos_token_id" to 1, "eos_token_id" to 2)) {
                val id = llm.whole(key.first, key.second)
                llm.require(id in 0 until vocabSize, key.first, id, "an id below $vocabSize")
            }
            mapOf(
                "mm_vision_select_feature" to "patch",
                "image_aspect_ratio" to "pad",
                "hidden_act" to "silu",
            ).forEach { (key, published) ->
                val got = if (key in model) model[key] else published
                llm.require(got == published, key, got, "'$published'")
            }
            llm.require(model["rope_scaling"] == null, "rope_scaling", model["rope_scaling"], "none")
            val projector = model["mm_projector_type"]
            val pools = pooledPatches(projector)
                ?: throw fail(
                    "mm_projector_type: got ${JsonFields.shown(projector, 60)}, expected ${PROJECTORS.keys.joinToString()} or mlp2x_gelu",
                )

            val tower = model["vision_config"] as? Map<*, *>
                ?: throw fail(
                    "vision_config: got ${JsonFields.shown(model["vision_config"], 60)}, expected an object with the tower's sizes",
                )
            val vision = Sizes(tower, fail)
            val imageSize = vision.positive("image_size", 224)
            val patchSize = vision.positive("patch_size", 32)
            val towerWidth = vision.positive("hidden_size", 768)
            val towerHeads = vision.positive("num_attention_heads", 12)
            val layers = vision.positive("num_hidden_layers", 12)
            vision.positive("intermediate_size", 3072)
            vision.require(
                imageSize % (pools.toLong() * patchSize) == 0L,
                "image_size",
                imageSize,
                "a multiple of ${pools.toLong() * patchSize}: of $pools patches of $patchSize, which the projector pools along a side",
            )
            vision.require(towerWidth % towerHeads == 0, "vision_config.hidden_size", towerWidth, "a multiple of $towerHeads heads")
            val select = llm.whole("mm_vision_select_layer", -2)
            val runLayers = if (select < 0) layers + 1 + select else select
            llm.require(runLayers in 1..layers, "mm_vision_select_layer", select, "a hidden state of $layers layers")
            val activation = tower["hidden_act"] ?: "quick_gelu"
            vision.require(activation == "quick_gelu", "vision_config.hidden_act", activation, "'quick_gelu' (OpenAI's CLIP)")

            val side = imageSize / patchSize / pools
            return ModelSizes(model["_name_or_path"] as? String ?: "", vocabSize, hiddenSize, imageSize, side * side)
        }

        /** Patches along a side of the image that become one token, by the published type of projector. */
        private val PROJECTORS = mapOf("ldpnetv2" to 2, "ldpnet" to 2, "linear" to 1)
        private val MLP = Regex("mlp[1-9]x_gelu")

        private fun pooledPatches(projector: Any?): Int? =
            if (projector is String && MLP.matches(projector)) 1 else PROJECTORS[projector as? String ?: ""]
    }

    private class Sizes(val values: Map<*, *>, val fail: (String) -> Exception) {
        fun positive(key: String, default: Int? = null): Int {
            val got = whole(key, default)
            require(got > 0, key, got, "a positive number")
            return got
        }

        /** A whole number, which JSON may write as 4096.0. */
        fun whole(key: String, default: Int? = null): Int {
            val got = values[key] ?: default ?: throw fail("$key is missing, expected a number")
            val number = (got as? Number)?.toDouble() ?: Double.NaN
            require(number == Math.rint(number) && Math.abs(number) <= Int.MAX_VALUE, key, got, "a whole number")
            return number.toInt()
        }

        fun require(good: Boolean, key: String, got: Any?, expected: String) {
            if (!good) throw fail("$key: got ${JsonFields.shown(got, 60)}, expected $expected")
        }
    }
}
