package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.bundle.ManifestReader
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.FakeEngine
import org.mobilevlmkit.core.session.LoadedModel
import java.io.File

/** The demo's manifest and tokenizer with a [FakeEngine], and methods with computed results. */
class CheckFixture(folder: File = File("demo.mvlm"), maxPrefill: Int = 512, val manifest: Manifest = demo.copy(maxPrefill = maxPrefill)) {
    val tokenizer = Tokenizer.read(Golden.file("prompts/demo.tokenizer.json"))
    val engine = FakeEngine(tokenizer, maxPrefill, 512)
    val model = LoadedModel(folder, manifest, engine, tokenizer)

    /** Each token's embedding is its id; the logits are constant. */
    inner class Methods : ModelMethods {
        val decoded = ArrayList<Pair<Long, FloatArray>>()

        override fun visionEncoder(pixels: ByteArray) = FloatArray(36 * 192) { (it * 7919L % 1000 - 500) / 64f }

        override fun tokenEmbedding(ids: LongArray) = FloatArray(ids.size * 192) { ids[it / 192].toFloat() }

        override fun textDecoder(embeds: FloatArray, position: Long): FloatArray {
            decoded.add(position to embeds)
            return FloatArray(640) { it * 104_729L % 640 / 8f }
        }

        override fun close() = Unit
    }

    private companion object {
        val demo = ManifestReader.read(Golden.file("manifests/good/demo.json"))
    }
}
