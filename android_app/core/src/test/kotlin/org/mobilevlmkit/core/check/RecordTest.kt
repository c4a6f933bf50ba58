package org.mobilevlmkit.core.check

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter

class RecordTest {
    private val record = Record(
        question = "What is \"this\"?\n你",
        maxNewTokens = 8,
        pixelsSha256 = "0".repeat(64),
        idsBeforeImage = listOf(1, 2),
        idsAfterImage = emptyList(),
        imageEmbedding = Sketch.of(FloatArray(100) { it / 3f }, listOf(1, 10, 10)),
        firstLogits = TopLogits(listOf(3, 1), listOf(0.5, -1.25e-7)),
        answer = "",
        answerIds = null,
        stopReason = "eos",
    )

    private fun again(values: Map<String, Any?>) =
        Record.fromJson(JsonReader.read(JsonWriter.write(values).toByteArray()), "golden.json: record 1")

    @Test
    fun whatIsWrittenIsRead() {
        assertEquals(record, again(record.toJson()))
        assertEquals(listOf(5), again(record.toJson() + ("answer_ids" to listOf(5))).answerIds)
    }

    @Test
    fun aMissingOrMistypedFieldIsNamed() {
        for (field in record.toJson().keys - "answer_ids") {
            val error = assertThrows(CaptureException::class.java) { again(record.toJson() - field) }
            assertTrue(error.message, error.message!!.startsWith("golden.json: record 1: $field"))
            assertThrows(CaptureException::class.java) { again(record.toJson() + (field to true)) }
        }
        assertThrows(CaptureException::class.java) { Record.fromJson(listOf(1), "x") }
    }

    @Test
    fun figuresHaveSixDigits() {
        // Python: float(f"{value:.6g}")
        val sketch = Sketch.of(floatArrayOf(1234567f, 0.1f, 1e-10f, -3.14159274f), listOf(4))
        assertEquals(listOf(1.23457e6, 0.1, 1e-10, -3.14159), listOf(0, 16, 32, 48).map { sketch.values[it] })
        val norms = listOf(100_000.5f, 100_001.5f).map { Sketch.of(floatArrayOf(it), listOf(1)).norm }
        assertEquals("half to even", listOf(100_000.0, 100_002.0), norms)
        assertEquals(64, sketch.values.size)
        assertEquals(1.23457e6, sketch.norm, 0.0)
    }

    @Test
    fun theTenLargestLogitsComeFirst() {
        val top = TopLogits.of(FloatArray(50) { (it * 7 % 50).toFloat() })
        assertEquals((49 downTo 40).map { it.toDouble() }, top.values)
        assertEquals(top.values, top.tokenIds.map { (it * 7 % 50).toDouble() })
        assertEquals(listOf(1, 0), TopLogits.of(floatArrayOf(-2f, -1f)).tokenIds)
    }
}
