@file:Suppress("UNUSED_PARAMETER")

package org.pytorch.executorch

// The signatures of org.pytorch:executorch-android 1.5 that the app uses. Never packed.

open class Module private constructor() {
    open fun execute(methodName: String, vararg inputs: EValue): Array<EValue> = emptyArray()
    open fun destroy() = Unit

    companion object {
        const val LOAD_MODE_MMAP = 1

        @JvmStatic
        @JvmOverloads
        fun load(modelPath: String?, loadMode: Int = 0, numThreads: Int = 0): Module = Module()
    }
}

abstract class Tensor {
    open val dataAsFloatArray: FloatArray get() = FloatArray(0)

    companion object {
        @JvmStatic
        fun fromBlobUnsigned(data: ByteArray, shape: LongArray): Tensor = object : Tensor() {}

        @JvmStatic
        fun fromBlob(data: FloatArray, shape: LongArray): Tensor = object : Tensor() {}

        @JvmStatic
        fun fromBlob(data: LongArray, shape: LongArray): Tensor = object : Tensor() {}
    }
}

class EValue private constructor(private val tensor: Tensor) {
    fun toTensor(): Tensor = tensor

    companion object {
        @JvmStatic
        fun from(tensor: Tensor): EValue = EValue(tensor)
    }
}
