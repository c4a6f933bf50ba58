package org.mobilevlmkit.app

import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File

/** Calls the program's methods one by one, for captures. Close any [ExecuTorchEngine] first: each loads the model. */
class ExecuTorchMethods(folder: File, private val manifest: Manifest) : ModelMethods {
    private val module = Module.load(File(folder, manifest.artifacts.getValue(BACKEND)).path, Module.LOAD_MODE_MMAP)

    override fun visionEncoder(pixels: ByteArray): FloatArray {
        val side = manifest.image.size.toLong()
        return run("vision_encoder", Tensor.fromBlobUnsigned(pixels, longArrayOf(1, 3, side, side)))
    }

    override fun tokenEmbedding(ids: LongArray): FloatArray =
        run("token_embedding", Tensor.fromBlob(ids, longArrayOf(1, ids.size.toLong())))

    override fun textDecoder(embeds: FloatArray, position: Long): FloatArray {
        val width = manifest.sizes.hiddenSize.toLong()
        val tokens = Tensor.fromBlob(embeds, longArrayOf(1, embeds.size / width, width))
        val logits = run("text_decoder", tokens, Tensor.fromBlob(longArrayOf(position), longArrayOf(1)))
        val vocabulary = manifest.sizes.vocabSize
        return logits.copyOfRange(logits.size - vocabulary, logits.size)
    }

    override fun close() = module.destroy()

    private fun run(method: String, vararg inputs: Tensor): FloatArray = try {
        val values = Array(inputs.size) { EValue.from(inputs[it]) }
        module.execute(method, *values)[0].toTensor().dataAsFloatArray
    } catch (error: RuntimeException) {
        throw EngineException("engine: $method: ${error.message ?: error.javaClass.simpleName}", error)
    }
}
