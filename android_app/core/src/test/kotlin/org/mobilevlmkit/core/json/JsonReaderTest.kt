package org.mobilevlmkit.core.json

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.util.Random

class JsonReaderTest {
    private fun read(text: String) = JsonReader.read(text.toByteArray())

    @Test
    fun readsEveryKindOfValue() {
        val expected = mapOf(
            "text" to "a\"\\/\b\u000c\n\r\t\u00e9\ud83d\ude00", "whole" to -12L, "zero" to 0L, "decimal" to 0.5, "power" to 1200.0,
            "beyond" to 1e20, "yes" to true, "no" to false, "nothing" to null,
            "list" to listOf(1L, emptyList<Any>(), emptyMap<String, Any>()),
        )
        val text = """ {"text": "a\"\\\/\b\f\n\r\t\u00E9\ud83d\ude00", "whole": -12, "zero":-0, "decimal": 5e-1, "power": 1.2E+3,
            "beyond": 100000000000000000000, "yes": true, "no": false, "nothing": null, "list": [1, [ ], { }]}""" + "\r\n\t"
        assertEquals(expected, read(text))
    }

    @Test
    fun refusesWhatIsNotJson() {
        val wrong = listOf(
            "", " ", "{", "[", "\"", "\"a", "{\"a\"}", "{\"a\":}", "{a: 1}", "{'a': 1}", "[1,]", "{\"a\": 1,}", "[1 2]", "01", "-", "1.",
            ".5", "1e", "+1", "NaN", "Infinity", "tru", "nul", "[1]]", "1 1", "\"\n\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u00\u0661\u0661\"",
            "// a\n1", "{\"a\": 1, \"a\": 2}", "\u00a01", "\ufeff1",
        )
        for (text in wrong) assertThrows("'$text'", JsonException::class.java) { read(text) }
    }

    @Test
    fun refusesBytesThatAreNotUtf8() {
        for (bytes in listOf(byteArrayOf(0x22, 0xff.toByte(), 0x22), byteArrayOf(0x22, 0xc0.toByte(), 0x80.toByte(), 0x22))) {
            val error = assertThrows(JsonException::class.java) { JsonReader.read(bytes) }
            assertTrue(error.message, "UTF-8" in error.message!!)
        }
    }

    @Test
    fun refusesDepthInsteadOfRunningOutOfStack() {
        assertThrows(JsonException::class.java) { read("[".repeat(1_000_000)) }
        assertThrows(JsonException::class.java) { read("{\"a\":".repeat(1_000_000)) }
        assertEquals(1, (read("[".repeat(150) + "]".repeat(150)) as List<*>).size)
    }

    @Test
    fun readsWhatTheWriterWrites() {
        val random = Random(7)
        repeat(500) {
            val value = randomValue(random, 0)
            assertEquals(value, read(JsonWriter.write(value)))
        }
    }

    @Test
    fun theWriterRefusesWhatJsonLacks() {
        for (value in listOf<Any>(Double.NaN, Double.POSITIVE_INFINITY, Float.NaN, 'a', Object())) {
            assertThrows(IllegalArgumentException::class.java) { JsonWriter.write(listOf(value)) }
        }
    }

    private fun randomValue(random: Random, depth: Int): Any? = when (random.nextInt(if (depth < 4) 8 else 6)) {
        0 -> null
        1 -> random.nextBoolean()
        2 -> random.nextLong()
        3 -> random.nextGaussian() * 1e6
        4, 5 -> String(CharArray(random.nextInt(12)) { random.nextInt(if (random.nextInt(4) == 0) 0x10000 else 128).toChar() })
            .let { text -> String(text.toByteArray(), Charsets.UTF_8) }
        6 -> List(random.nextInt(5)) { randomValue(random, depth + 1) }
        else -> List(random.nextInt(5)) { "key $it\u0001\"" to randomValue(random, depth + 1) }.toMap()
    }
}
