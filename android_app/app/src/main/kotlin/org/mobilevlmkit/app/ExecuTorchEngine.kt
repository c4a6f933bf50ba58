package org.mobilevlmkit.app

import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import org.pytorch.executorch.extension.llm.LlmCallback
import org.pytorch.executorch.extension.llm.LlmModule
import org.pytorch.executorch.extension.llm.LlmModuleConfig
import java.io.File
import java.nio.ByteBuffer

/**
 * ExecuTorch's multimodal runner behind the core's seam, by `LlmModule` as it is from 1.3 to 1.5.
 *
 * The beginning-of-text token is written into the first text: `LlmModuleConfig.numBos` is ignored by the packed engine when it prefills
 * (one token too few), and every engine tokenizes the text alike.
 *
 * @param bosText what the tokenizer reads as the beginning of a text, such as `<s>`
 * @param side of the square picture, in pixels
 */
class ExecuTorchEngine private constructor(private val module: LlmModule, private val bosText: String, private val side: Int) : VlmEngine {
    private var isEmpty = true

    @Volatile
    private var isStopped = false

    override fun reset() = attempt {
        module.resetContext()
        isEmpty = true
    }

    override fun prefillText(text: String) = attempt { module.prefillPrompt(begun(text)) }

    override fun prefillImage(pixels: ByteArray) = attempt {
        val direct = ByteBuffer.allocateDirect(pixels.size)
        direct.put(pixels).rewind()
        module.prefillImages(direct, side, side, CHANNELS)
    }

    override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit): Unit = attempt {
        var failure: Throwable? = null
        isStopped = false
        val callback = object : LlmCallback {
            override fun onResult(result: String) {
                try {
                    if (failure == null) onPiece(result)
                } catch (error: Throwable) { // must not travel through native code
                    failure = error
                    isStopped = true
                }
                if (isStopped) module.stop() // the engine forgets a stop that came before its first token was handed out
            }
        }
        module.generate(begun(text), promptTokens + maxNewTokens, callback, false)
        failure?.let { throw it } ?: Unit
    }

    override fun stop() {
        isStopped = true
        module.stop()
    }

    override fun close() = module.close()

    /** Only the first text of an empty cache gets a beginning. */
    private fun begun(text: String): String = (if (isEmpty) bosText + text else text).also { isEmpty = false }

    /** Opens the program that the manifest names; its tokenizer too. */
    companion object : EngineFactory {
        private const val CHANNELS = 3
        private const val GREEDY = 0f

        override fun open(folder: File, manifest: Manifest): VlmEngine = attempt {
            val tokenizer = File(folder, manifest.tokenizerJson)
            val bos = Tokenizer.read(tokenizer).let { read -> read.specials.firstOrNull { read.id(it) == manifest.prompt.bosId } }
                ?: throw EngineException("$tokenizer: got no text for the token ${manifest.prompt.bosId}, expected one to begin with")
            val config = LlmModuleConfig.create()
                .modulePath(File(folder, manifest.artifacts.getValue(BACKEND)).path)
                .tokenizerPath(tokenizer.path)
                .temperature(GREEDY)
                .modelType(LlmModule.MODEL_TYPE_MULTIMODAL)
                .build()
            val module = LlmModule(config)
            try {
                module.load()
            } catch (error: Throwable) {
                module.close() // else it holds what it had loaded until it is collected
                throw error
            }
            ExecuTorchEngine(module, bos, manifest.image.size)
        }

        private inline fun <T> attempt(work: () -> T): T = try {
            work()
        } catch (error: RuntimeException) {
            throw EngineException("engine: ${error.message ?: error.javaClass.simpleName}", error)
        } catch (error: LinkageError) { // no library for this phone's processor
            throw EngineException("engine: ${error.message ?: error.javaClass.simpleName}", error)
        }
    }
}

/** The manifest's name for ExecuTorch programs. */
const val BACKEND = "executorch"
