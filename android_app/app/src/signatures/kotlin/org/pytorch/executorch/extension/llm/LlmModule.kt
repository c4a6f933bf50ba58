@file:Suppress("UNUSED_PARAMETER")

package org.pytorch.executorch.extension.llm

import java.io.Closeable

// Signatures of org.pytorch:executorch-android 1.5, as far as the app calls them: it must compile against these too. Never packed.

interface LlmCallback {
    fun onResult(result: String)
    fun onStats(stats: String) {}
    fun onError(errorCode: Int, message: String) {}
}

class LlmModule(modelType: Int, modulePath: String, tokenizerPath: String, temperature: Float) : Closeable {
    fun load() = Unit
    fun resetContext() = Unit
    fun prefillPrompt(prompt: String) = Unit
    fun prefillImages(image: IntArray, width: Int, height: Int, channels: Int) = Unit
    fun generate(prompt: String, seqLen: Int, llmCallback: LlmCallback, echo: Boolean) = Unit
    fun stop() = Unit
    override fun close() = Unit

    @Deprecated("Use close() instead", replaceWith = ReplaceWith("close()"))
    fun resetNative() = close()

    companion object {
        const val MODEL_TYPE_MULTIMODAL = 2
    }
}
