@file:Suppress("UNUSED_PARAMETER")

package org.pytorch.executorch.extension.llm

import java.io.Closeable
import java.nio.ByteBuffer

// The signatures of org.pytorch:executorch-android 1.5 that the app uses: it must compile against these too. Never packed.

interface LlmCallback {
    fun onResult(result: String)
    fun onStats(stats: String) {}
    fun onError(errorCode: Int, message: String) {}
}

class LlmModuleConfig private constructor() {
    class Builder internal constructor() {
        fun modulePath(modulePath: String): Builder = this
        fun tokenizerPath(tokenizerPath: String): Builder = this
        fun temperature(temperature: Float): Builder = this
        fun modelType(modelType: Int): Builder = this
        fun build(): LlmModuleConfig = LlmModuleConfig()
    }

    companion object {
        @JvmStatic
        fun create(): Builder = Builder()
    }
}

class LlmModule(config: LlmModuleConfig) : Closeable {
    fun load() = Unit
    fun resetContext() = Unit
    fun prefillPrompt(prompt: String) = Unit
    fun prefillImages(image: ByteBuffer, width: Int, height: Int, channels: Int) = Unit
    fun generate(prompt: String, seqLen: Int, llmCallback: LlmCallback, echo: Boolean) = Unit
    fun stop() = Unit
    override fun close() = Unit

    companion object {
        const val MODEL_TYPE_MULTIMODAL = 2
    }
}
