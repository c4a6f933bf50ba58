package org.mobilevlmkit.app

import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import org.pytorch.executorch.extension.llm.LlmCallback
import org.pytorch.executorch.extension.llm.LlmModule
import java.io.File

/**
 * ExecuTorch's multimodal runner behind the core's seam, by `LlmModule` of 1.5 and by that of the build before 1.1 that `make apk` packs.
 *
 * What differs between the two, and both do alike here:
 * - The older one only queues what is to be prefilled, and its methods return numbers where 1.5's return nothing. [flush] makes it run
 *   what is queued, so that a picture is encoded while the user types.
 * - The older one tells no error of `generate`. A call that gave no token has failed.
 * - How many beginning-of-text tokens go first can be set in 1.5 only. It is written into the first text, which both tokenize alike.
 *
 * @param bosText what the tokenizer reads as the beginning of a text, such as `<s>`
 * @param side of the square picture, in pixels
 */
class ExecuTorchEngine private constructor(private val module: LlmModule, private val bosText: String, private val side: Int) : VlmEngine {
    private var isEmpty = true

    override fun reset() = attempt {
        module.resetContext()
        isEmpty = true
    }

    override fun prefillText(text: String) = attempt {
        val queued: Any? = module.prefillPrompt(begun(text))
        flush(queued)
    }

    override fun prefillImage(pixels: ByteArray) = attempt {
        val values = IntArray(pixels.size) { pixels[it].toInt() and 255 } // the one kind of array that both versions take
        val queued: Any? = module.prefillImages(values, side, side, CHANNELS)
        flush(queued)
    }

    override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) =
        attempt { run(begun(text), promptTokens + maxNewTokens, onPiece) }

    override fun stop() = module.stop()

    @Suppress("DEPRECATION") // 1.5 calls it close(), which the older one doesn't know
    override fun close() = module.resetNative()

    /** Only the first text of an empty cache gets a beginning. */
    private fun begun(text: String): String = (if (isEmpty) bosText + text else text).also { isEmpty = false }

    /**
     * Runs what a prefill has queued; [queued] is what that method returned. A sequence length of 1 is passed at once: the runner puts the
     * queue into the KV cache, tells the token that would follow, and decodes none.
     */
    private fun flush(queued: Any?) {
        if (queued is Number) run("", 1) {}
    }

    private fun run(text: String, sequenceLength: Int, onPiece: (String) -> Unit) {
        var pieces = 0
        var failure: Throwable? = null
        val callback = object : LlmCallback {
            override fun onResult(result: String) {
                pieces++
                try {
                    if (failure == null) onPiece(result)
                } catch (error: Throwable) { // must not travel through native code
                    failure = error
                    module.stop()
                }
            }

            override fun onStats(stats: String) = Unit
        }
        val status: Any? = module.generate(text, sequenceLength, callback, false)
        failure?.let { throw it }
        if (status is Int && status != 0) throw EngineException("engine: error $status")
        if (pieces == 0) throw EngineException("engine: got no token, expected at least one")
    }

    private inline fun attempt(work: () -> Unit) = try {
        work()
    } catch (error: RuntimeException) {
        throw EngineException("engine: ${error.message ?: error.javaClass.simpleName}", error)
    }

    /** Opens the program that the manifest names; its tokenizer too. */
    companion object : EngineFactory {
        private const val CHANNELS = 3
        private const val GREEDY = 0f

        override fun open(folder: File, manifest: Manifest): VlmEngine {
            val tokenizer = File(folder, manifest.tokenizerJson)
            val bos = Tokenizer.read(tokenizer).let { read -> read.specials.firstOrNull { read.id(it) == manifest.prompt.bosId } }
                ?: throw EngineException("$tokenizer: got no text for the token ${manifest.prompt.bosId}, expected one to begin with")
            val program = File(folder, manifest.artifacts.getValue(BACKEND))
            try {
                val module = LlmModule(LlmModule.MODEL_TYPE_MULTIMODAL, program.path, tokenizer.path, GREEDY)
                val status: Any? = module.load()
                if (status is Int && status != 0) throw EngineException("engine: error $status while loading ${program.name}")
                return ExecuTorchEngine(module, bos, manifest.image.size)
            } catch (error: RuntimeException) {
                throw EngineException("engine: ${error.message ?: error.javaClass.simpleName}", error)
            } catch (error: LinkageError) { // no library for this phone's processor
                throw EngineException("engine: ${error.message ?: error.javaClass.simpleName}", error)
            }
        }
    }
}

/** The manifest's name for ExecuTorch programs. */
const val BACKEND = "executorch"
