package org.mobilevlmkit.core.check

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Test
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.session.Ended

class RecordMakerTest {
    @Test
    fun everyStageIsRunOnceAndKept() {
        val fixture = CheckFixture(maxPrefill = 40)
        val methods = fixture.Methods()
        val pixels = fixture.model.pixels(Golden.picture("pixels/primes.ppm"))
        val record = RecordMaker(fixture.model, methods).make(pixels, "What is this?", 8, "yes", null, Ended.COMPLETE)
        val golden = Golden.cases("prompts/prompts.json", 1).first { case ->
            ((case["turns"] as List<*>)[0] as Map<*, *>)["question"] == "What is this?"
        }
        val ids = (golden["ids"] as Map<*, *>)["demo"] as Map<*, *>
        assertEquals(ids["before_image"], record.idsBeforeImage.map { it.toLong() })
        assertEquals(ids["after_image"], record.idsAfterImage.map { it.toLong() })
        assertEquals(listOf(1, 36, 192), record.imageEmbedding.shape)
        assertEquals("eos", record.stopReason)
        // The decoder is called with at most 40 tokens at a time, ids and image in order.
        assertEquals(listOf(0L, 40L), methods.decoded.map { it.first })
        val fed = methods.decoded.flatMap { it.second.asList() }
        val expected = record.idsBeforeImage.flatMap { id -> List(192) { id.toFloat() } } + methods.visionEncoder(pixels).asList() +
            record.idsAfterImage.flatMap { id -> List(192) { id.toFloat() } }
        assertEquals(expected, fed)
    }

    @Test
    fun aSpecialTokenInAQuestionIsText() {
        val fixture = CheckFixture()
        val record = RecordMaker(fixture.model, fixture.Methods()).make(ByteArray(3 * 168 * 168), "</s>", 8, "", emptyList(), Ended.STOPPED)
        assertFalse(2 in record.idsAfterImage)
        assertEquals("stopped", record.stopReason)
    }
}
