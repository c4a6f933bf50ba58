package org.mobilevlmkit.core.seam

import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.session.VlmEngine
import java.io.BufferedInputStream
import java.io.Closeable
import java.io.DataInputStream
import java.io.EOFException
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A process that runs `tests/pipe_engine.py` on the bundle in [folder]: ExecuTorch's C++ runner. */
internal class Pipe(command: List<String>, folder: File) : Closeable {
    private val process = ProcessBuilder(command + folder.path).redirectError(File("/dev/null")).start()
    private val calls = process.outputStream
    private val replies = DataInputStream(BufferedInputStream(process.inputStream))

    init {
        reply() // loaded
    }

    /** Sends a call; read the reply afterwards. */
    fun send(call: String, vararg arguments: Any, bytes: ByteArray? = null) {
        val values = mutableMapOf("call" to call, "arguments" to arguments.asList())
        if (bytes != null) values["bytes"] = bytes.size
        // A stop may come from any thread.
        synchronized(calls) {
            calls.write((JsonWriter.write(values).replace("\n", "") + "\n").toByteArray())
            bytes?.let { calls.write(it) }
            calls.flush()
        }
    }

    fun reply(): Map<*, *> {
        val line = StringBuilder() // JSON in ASCII
        while (true) {
            val byte = replies.read()
            if (byte < 0) throw EOFException("the engine is gone")
            if (byte == '\n'.code) break
            line.append(byte.toChar())
        }
        val values = JsonReader.read("$line".toByteArray()) as Map<*, *>
        values["error"]?.let { throw EngineException("$it") }
        return values
    }

    fun floats(): FloatArray {
        val bytes = ByteArray(4 * (reply()["floats"] as Long).toInt()).also { replies.readFully(it) }
        return FloatArray(bytes.size / 4).also { ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(it) }
    }

    override fun close() {
        calls.close()
        process.waitFor()
    }
}

/** The engine over a [Pipe]; it closes the pipe. */
internal class PipeEngine(private val pipe: Pipe) : VlmEngine {
    override fun reset() = call("reset")

    override fun prefillText(text: String) = call("prefill_text", text)

    override fun prefillImage(pixels: ByteArray) {
        pipe.send("prefill_image", bytes = pixels)
        pipe.reply()
    }

    override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) {
        pipe.send("generate", text, maxNewTokens)
        while (true) onPiece(pipe.reply()["piece"] as String? ?: return)
    }

    override fun stop() = pipe.send("stop")

    override fun close() = pipe.close()

    private fun call(name: String, vararg arguments: Any) {
        pipe.send(name, *arguments)
        pipe.reply()
    }
}

/** The program's methods over a [Pipe]; they close it. */
internal class PipeMethods(private val pipe: Pipe) : ModelMethods {
    override fun visionEncoder(pixels: ByteArray): FloatArray {
        pipe.send("vision_encoder", bytes = pixels)
        return pipe.floats()
    }

    override fun tokenEmbedding(ids: LongArray): FloatArray {
        pipe.send("token_embedding", ids.asList())
        return pipe.floats()
    }

    override fun textDecoder(embeds: FloatArray, position: Long): FloatArray {
        val bytes = ByteBuffer.allocate(4 * embeds.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(embeds)
        pipe.send("text_decoder", position, bytes = bytes.array())
        return pipe.floats()
    }

    override fun close() = pipe.close()
}
