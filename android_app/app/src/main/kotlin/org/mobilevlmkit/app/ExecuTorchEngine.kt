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
 * ExecuTorch's multimodal runner as the core's engine, through the `LlmModule` API of 1.3 to 1.5.
 *
 * The BOS token is written into the first text, because the packed engine ignores `LlmModuleConfig.numBos` during prefill
 * (one token too few), while every engine tokenizes this text the same way.
 *
 * @param bosText the BOS token's text, such as `<s>`
 * @param side of the square image, in pixels
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
                } catch (error: Throwable) { // must not propagate through native code
                    failure = error
                    isStopped = true
                }
                if (isStopped) module.stop() // the engine ignores a stop that came before its first token
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

    /** Adds BOS to the first text in an empty cache. */
    private fun begun(text: String): String = (if (isEmpty) bosText + text else text).also { isEmpty = false }

    /** Opens the program and the tokenizer named in the manifest. */
    companion object : EngineFactory {
        private const val CHANNELS = 3
        private const val GREEDY = 0f

        override fun open(folder: File, manifest: Manifest): VlmEngine = attempt {
            val tokenizer = File(folder, manifest.tokenizerJson)
            val bos = Tokenizer.read(tokenizer).let { read -> read.specials.firstOrNull { read.id(it) == manifest.prompt.bosId } }
                ?: throw EngineException("$tokenizer: got no text for the BOS token ${manifest.prompt.bosId}")
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
                module.close() // otherwise it keeps its memory until it is garbage-collected
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
