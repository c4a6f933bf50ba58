package org.mobilevlmkit.core.check

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.bundle.FileEntry
import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.live.Thermal
import org.mobilevlmkit.core.session.Ended
import java.io.File
import java.util.concurrent.CancellationException

class SelfCheckTest {
    @get:Rule
    val temporary = TemporaryFolder()

    /** A bundle's golden folder with two records, which [change] can modify. */
    private fun fixture(change: (Record) -> Record = { it }): CheckFixture {
        val folder = temporary.newFolder()
        File(folder, "golden").mkdirs()
        val plain = CheckFixture()
        val records = listOf("primes", "a-banner").map { name ->
            File(folder, "golden/$name.ppm").writeBytes(Golden.file("pixels/$name.ppm").readBytes())
            val pixels = plain.model.pixels(Golden.picture("pixels/$name.ppm"))
            val maker = RecordMaker(plain.model, plain.Methods())
            val record = maker.make(pixels, "What is this?", 8, "yes", listOf(plain.tokenizer.id("▁yes")), Ended.COMPLETE)
            change(record).toJson() + ("picture" to "$name.ppm")
        }
        File(folder, "golden/golden.json").writeText(JsonWriter.write(mapOf("records" to records)))
        val files = listOf("golden.json", "primes.ppm", "a-banner.ppm").map { FileEntry("golden/$it", 1, "0".repeat(64)) }
        return CheckFixture(folder, manifest = plain.manifest.copy(files = files))
    }

    private fun check(fixture: CheckFixture, job: Job = Job(), onFinding: (Finding) -> Unit = {}): CheckReport {
        var now = 0L
        var warmth = 0
        return SelfCheck(
            fixture.model,
            decode = { Golden.picture("pixels/${it.name}") },
            thermal = { Thermal.values()[warmth++] },
            nanoTime = {
                now += 250_000_000
                now
            },
        ).run(job, onFinding)
    }

    @Test
    fun aCorrectPhonePassesEveryStage() {
        val reported = ArrayList<Finding>()
        val fixture = fixture()
        val report = check(fixture, onFinding = reported::add)
        assertEquals(report.findings, reported)
        assertTrue(report.same)
        assertEquals(
            listOf(
                "✓ primes.ppm: preprocessing: the same pixels",
                "✓ primes.ppm: tokenizer: the same 44 ids",
                "✓ primes.ppm: decoder: the same answer",
                "✓ a-banner.ppm: preprocessing: the same pixels",
                "✓ a-banner.ppm: tokenizer: the same 44 ids",
                "✓ a-banner.ppm: decoder: the same answer",
            ),
            report.findings.map { it.line },
        )
    }

    private fun differing(fixture: CheckFixture): Map<String, String> =
        check(fixture).findings.filterNot { it.same }.associate { it.stage to it.detail }

    @Test
    fun whatDiffersIsNamed() {
        assertEquals(setOf("preprocessing"), differing(fixture { it.copy(pixelsSha256 = "1".repeat(64)) }).keys)
        assertEquals(setOf("tokenizer"), differing(fixture { it.copy(idsAfterImage = it.idsAfterImage.drop(1)) }).keys)
        assertEquals(mapOf("decoder" to "from character 3: got 's', expected 'llow'"), differing(fixture { it.copy(answer = "yellow") }))
        assertEquals(mapOf("decoder" to "the same answer in other tokens"), differing(fixture { it.copy(answerIds = listOf(5)) }))
        assertTrue(check(fixture { it.copy(answerIds = null) }).same)
        val ended = "the same answer, but it ended by eos, expected length"
        assertEquals(mapOf("decoder" to ended), differing(fixture { it.copy(stopReason = "length") }))
    }

    @Test
    fun anEngineThatFailsIsAFinding() {
        val fixture = fixture()
        fixture.engine.meanwhile = { if (it == "generate") error("it broke\nbadly") }
        val report = check(fixture)
        assertEquals(listOf("the engine failed: it broke").toSet(), report.findings.filterNot { it.same }.map { it.detail }.toSet())
        assertNull(report.mostInformative)
        assertFalse(report.same)
    }

    @Test
    fun aContextTooShortIsAFinding() {
        val fixture = fixture()
        val short = CheckFixture(fixture.model.folder, manifest = fixture.manifest.copy(maxContext = 85))
        assertEquals(mapOf("decoder" to "the question and its answer don't fit the context"), differing(short))
    }

    /** The clock advances a quarter of a second with each reading. */
    @Test
    fun thePhoneIsTimed() {
        val fixture = fixture()
        fixture.engine.answers = { listOf("▁a", "▁red", "</s>") }
        val measurements = check(fixture).measurements
        assertEquals(listOf(0.25, 0.25, 0.5, 4.0), measurements.run { listOf(imageEncodeS, prefillS, firstTokenS, decodeTokensPerS) })
        assertEquals(4, measurements.generatedTokens)
        assertEquals(Thermal.NONE to Thermal.LIGHT, measurements.thermalBefore to measurements.thermalAfter)
        assertTrue("${measurements.peakBytes}", measurements.peakBytes > 10_000_000)
    }

    @Test
    fun theMedianOfTwoIsHalfWayBetweenThem() {
        val timer = MeasurementTimer(1.0, Thermal.NONE) { 0L }
        timer.asked(imageS = 1.0)
        timer.asked(imageS = 4.0)
        assertEquals(2.5, timer.finish(Thermal.NONE).imageEncodeS, 0.0)
    }

    @Test
    fun theRecordThatDiffersIsCaptured() {
        val fixture = fixture { if (it.pixelsSha256 == firstPixels) it else it.copy(answer = "blue") }
        val report = check(fixture)
        val mostInformative = checkNotNull(report.mostInformative)
        assertEquals("a-banner.ppm", mostInformative.golden.name)
        fixture.model.release()
        val capture = report.capture(mostInformative, fixture.model, fixture.Methods(), mapOf("model" to "a phone"))
        val expected = mostInformative.golden.record.copy(answer = "yes")
        assertEquals(expected, capture.record)
        assertEquals(report.measurements.decodeTokensPerS, capture.stats["decode_tok_s"])
        CaptureWriter.write(capture, File(temporary.root, "capture.zip"))
    }

    private val firstPixels by lazy { Sha256.of(CheckFixture().model.pixels(Golden.picture("pixels/primes.ppm"))) }

    @Test
    fun missingMemoryFiguresAreNoFailure() {
        assertEquals(0L, ProcessMemory.peakBytes(File(temporary.root, "no-such-file")))
        val status = File(temporary.root, "status").apply { writeText("VmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 7 kB\n") }
        assertEquals(2048L * 1024, ProcessMemory.peakBytes(status))
    }

    @Test
    fun cancellingEndsIt() {
        val fixture = fixture()
        val job = Job()
        fixture.engine.meanwhile = { if (it == "piece 0") job.cancel() }
        val reported = ArrayList<Finding>()
        assertThrows(CancellationException::class.java) { check(fixture, job, reported::add) }
        assertEquals(1, fixture.engine.pictures)
        assertEquals("an answer cut short is no finding", listOf("preprocessing", "tokenizer"), reported.map { it.stage })
    }

    @Test
    fun aBundleWithoutRecordsReportsHowToMakeThem() {
        val manifest = CheckFixture().manifest.copy(files = emptyList())
        val error = assertThrows(CaptureException::class.java) { check(CheckFixture(manifest = manifest)) }
        assertTrue(error.message, "mvlm golden" in error.message!!)
    }

    @Test
    fun unreadableRecordsAreReportedWithAReason() {
        val fixture = fixture()
        val index = File(fixture.model.folder, "golden/golden.json")
        val cases = mapOf("{" to "JSON", "{}" to "records", "{\"records\": []}" to "records", "{\"records\": [1]}" to "record 1")
        for ((text, says) in cases) {
            index.writeText(text)
            val error = assertThrows(text, CaptureException::class.java) { check(fixture) }
            assertTrue(error.message, says in error.message!!)
        }
        val escaping = fixture { it }
        val other = File(escaping.model.folder, "golden/golden.json")
        other.writeText(other.readText().replace("primes.ppm", "../manifest.json"))
        assertThrows(CaptureException::class.java) { check(escaping) }
    }
}
