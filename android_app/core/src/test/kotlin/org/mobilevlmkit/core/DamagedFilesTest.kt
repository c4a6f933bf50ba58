package org.mobilevlmkit.core

import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.prompt.Tokenizer
import java.io.File
import java.util.Random

/** Damages files other than manifests and zips, with fixed seeds: the result is a value or a one-line error. */
class DamagedFilesTest {
    private val random = Random(20_262)

    private fun damaged(whole: ByteArray): ByteArray {
        val bytes = if (random.nextInt(5) == 0) whole.copyOf(random.nextInt(whole.size)) else whole.copyOf()
        repeat(1 + random.nextInt(3)) {
            if (bytes.isNotEmpty()) {
                bytes[random.nextInt(bytes.size)] =
                    if (random.nextBoolean()) random.nextInt().toByte() else "[]{}\",:0-\\u".random(random)
            }
        }
        return bytes
    }

    private fun String.random(random: Random) = this[random.nextInt(length)].code.toByte()

    @Test
    fun jsonIsReadOrRefused() {
        val whole = Golden.file("manifests/good/executorch-and-coreml.json").readBytes()
        var refused = 0
        repeat(4_000) {
            try {
                JsonReader.read(damaged(whole))
            } catch (error: JsonException) {
                assertFalse(error.message, '\n' in error.message!!)
                refused++
            }
        }
        assertTrue("$refused", refused in 2_000 until 4_000)
    }

    @Test
    fun tokenizersAreReadOrRefused() {
        val whole = Golden.file("prompts/demo.tokenizer.json").readBytes()
        val file = File.createTempFile("tokenizer", ".json")
        var refused = 0
        try {
            repeat(400) {
                file.writeBytes(damaged(whole))
                try {
                    Tokenizer.read(file).encode("What is this? 你好")
                } catch (error: BundleException) {
                    assertFalse(error.message, '\n' in error.message!!)
                    refused++
                }
            }
        } finally {
            file.delete()
        }
        assertTrue("$refused", refused in 100 until 400)
    }
}
