package org.mobilevlmkit.enginehost

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.check.SelfCheck
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.session.ModelLoader
import java.io.DataInputStream
import java.io.DataOutputStream
import java.io.EOFException
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import javax.imageio.ImageIO
import kotlin.system.exitProcess

/** A tensor of the protocol: [type] is `u8`, `i64` or `f32`; [bytes] are little-endian. */
class WireTensor(val type: String, val shape: List<Long>, val bytes: ByteArray) {
    val values: ByteBuffer get() = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

    companion object {
        fun of(floats: FloatArray, vararg shape: Long): WireTensor {
            val bytes = ByteBuffer.allocate(4 * floats.size).order(ByteOrder.LITTLE_ENDIAN)
            bytes.asFloatBuffer().put(floats)
            return WireTensor("f32", shape.asList(), bytes.array())
        }

        fun of(text: String): WireTensor = text.toByteArray().let { WireTensor("u8", listOf(it.size.toLong()), it) }
    }
}

/**
 * Serves the bundle in a folder over standard input and output with the protocol of `run_methods` in `mobilevlm_host.arm64`.
 *
 * The program's three methods run through the app's `ExecuTorchMethods`; `check`, the app's check of the golden records, and `bench` run
 * through its `ExecuTorchEngine` and reply with JSON.
 */
class EngineServer(private val folder: File) {
    private val manifest = BundleFiles.verify(folder)
    private var methods: ModelMethods? = null

    private fun reply(call: String, inputs: List<WireTensor>): WireTensor = when (call) {
        "vision_encoder" -> WireTensor.of(opened().visionEncoder(inputs[0].bytes), 1, manifest.image.tokens.toLong(), width)
        "token_embedding" -> longs(inputs[0]).let { WireTensor.of(opened().tokenEmbedding(it), 1, it.size.toLong(), width) }
        "text_decoder" -> opened().textDecoder(floats(inputs[0]), longs(inputs[1])[0]).let { WireTensor.of(it, it.size.toLong()) }
        "check" -> WireTensor.of(JsonWriter.write(check()))
        "bench" -> WireTensor.of(JsonWriter.write(EngineBench(folder).run()))
        else -> throw IllegalArgumentException("$call: no such call")
    }

    private val width get() = manifest.sizes.hiddenSize.toLong()

    private fun opened(): ModelMethods = methods ?: DesktopEngine.methods(folder, manifest).also { methods = it }

    /** The findings of "Check this phone". */
    private fun check(): Map<String, Any?> {
        val model = ModelLoader("executorch", DesktopEngine, availableMemory = { Long.MAX_VALUE }).load(folder, Job())
        try {
            val findings = SelfCheck(model, ::picture).run(Job()).findings
            return mapOf(
                "findings" to findings.map {
                    mapOf("picture" to it.picture, "stage" to it.stage, "same" to it.same, "detail" to it.detail)
                },
            )
        } finally {
            model.release() // the methods load the program a second time
        }
    }

    fun serve(calls: DataInputStream, replies: DataOutputStream) {
        while (true) {
            val (call, count) = (line(calls) ?: return).split(' ')
            val inputs = List(count.toInt()) { tensor(calls) }
            try {
                val result = reply(call, inputs)
                replies.write("ok 1\n${result.type} ${result.shape.joinToString(" ")}\n".toByteArray())
                replies.write(result.bytes)
            } catch (error: Exception) {
                replies.write("error ${(error.message ?: "$error").lineSequence().first()}\n".toByteArray())
            }
            replies.flush()
        }
    }

    private fun tensor(calls: DataInputStream): WireTensor {
        val words = (line(calls) ?: throw EOFException()).split(' ')
        val shape = words.drop(1).map { it.toLong() }
        val bytes = ByteArray((shape.fold(1L, Long::times) * SIZES.getValue(words[0])).toInt())
        calls.readFully(bytes)
        return WireTensor(words[0], shape, bytes)
    }

    private fun line(calls: DataInputStream): String? {
        val line = StringBuilder()
        while (true) {
            val byte = calls.read()
            if (byte < 0) return null
            if (byte == '\n'.code) return "$line"
            line.append(byte.toChar())
        }
    }

    private fun longs(tensor: WireTensor) = tensor.values.asLongBuffer().let { buffer ->
        LongArray(buffer.remaining()).also { buffer.get(it) }
    }

    private fun floats(tensor: WireTensor) = tensor.values.asFloatBuffer().let { buffer ->
        FloatArray(buffer.remaining()).also { buffer.get(it) }
    }

    companion object {
        private val SIZES = mapOf("u8" to 1, "i64" to 8, "f32" to 4)

        /** The picture in [file], as RGB. */
        fun picture(file: File): ArrayPicture {
            val image = ImageIO.read(file)
            return ArrayPicture(image.width, image.height, image.getRGB(0, 0, image.width, image.height, null, 0, image.width))
        }

        @JvmStatic
        fun main(arguments: Array<String>) {
            EngineServer(File(arguments[0])).serve(DataInputStream(System.`in`.buffered()), DataOutputStream(System.out.buffered()))
            exitProcess(0) // fbjni keeps a thread alive
        }
    }
}
