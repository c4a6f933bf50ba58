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

    /** A bundle's golden folder with two records, each as it is when [change] is the identity. */
    private fun scene(change: (Record) -> Record = { it }): CheckScene {
        val folder = temporary.newFolder()
        File(folder, "golden").mkdirs()
        val plain = CheckScene()
        val records = listOf("primes", "a-banner").map { name ->
            File(folder, "golden/$name.ppm").writeBytes(Golden.file("pixels/$name.ppm").readBytes())
            val pixels = plain.model.pixels(Golden.picture("pixels/$name.ppm"))
            val maker = RecordMaker(plain.model, plain.Methods())
            val record = maker.make(pixels, "What is this?", 8, "yes", listOf(plain.tokenizer.id("▁yes")), Ended.COMPLETE)
            change(record).toJson() + ("picture" to "$name.ppm")
        }
        File(folder, "golden/golden.json").writeText(JsonWriter.write(mapOf("records" to records)))
        val files = listOf("golden.json", "primes.ppm", "a-banner.ppm").map { FileEntry("golden/$it", 1, "0".repeat(64)) }
        return CheckScene(folder, manifest = plain.manifest.copy(files = files))
    }

    private fun check(scene: CheckScene, job: Job = Job(), onFinding: (Finding) -> Unit = {}): CheckReport {
        var now = 0L
        var warmth = 0
        return SelfCheck(
            scene.model,
            decode = { Golden.picture("pixels/${it.name}") },
            thermal = { Thermal.values()[warmth++] },
            nanoTime = {
                now += 250_000_000
                now
            },
        ).run(job, onFinding)
    }

    @Test
    fun aSoundPhonePassesEveryStage() {
        val told = ArrayList<Finding>()
        val scene = scene()
        val report = check(scene, onFinding = told::add)
        assertEquals(report.findings, told)
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

    private fun differing(scene: CheckScene): Map<String, String> =
        check(scene).findings.filterNot { it.same }.associate { it.stage to it.detail }

    @Test
    fun whatDiffersIsNamed() {
        assertEquals(setOf("preprocessing"), differing(scene { it.copy(pixelsSha256 = "1".repeat(64)) }).keys)
        assertEquals(setOf("tokenizer"), differing(scene { it.copy(idsAfterImage = it.idsAfterImage.drop(1)) }).keys)
        assertEquals(mapOf("decoder" to "from character 3: got 's', expected 'llow'"), differing(scene { it.copy(answer = "yellow") }))
        assertEquals(mapOf("decoder" to "the same answer in other tokens"), differing(scene { it.copy(answerIds = listOf(5)) }))
        assertTrue(check(scene { it.copy(answerIds = null) }).same)
        val ended = "the same answer, but it ended by eos, expected length"
        assertEquals(mapOf("decoder" to ended), differing(scene { it.copy(stopReason = "length") }))
    }

    @Test
    fun anEngineThatFailsIsAFinding() {
        val scene = scene()
        scene.engine.meanwhile = { if (it == "generate") error("it broke\nbadly") }
        val report = check(scene)
        assertEquals(listOf("the engine failed: it broke").toSet(), report.findings.filterNot { it.same }.map { it.detail }.toSet())
        assertNull(report.telling)
        assertFalse(report.same)
    }

    @Test
    fun aContextTooShortIsAFinding() {
        val scene = scene()
        val short = CheckScene(scene.model.folder, manifest = scene.manifest.copy(maxContext = 85))
        assertEquals(mapOf("decoder" to "the question and its answer don't fit the context"), differing(short))
    }

    /** The clock goes on by a quarter of a second whenever it is read. */
    @Test
    fun thePhoneIsTimed() {
        val scene = scene()
        scene.engine.answers = { listOf("▁a", "▁red", "</s>") }
        val benchmark = check(scene).benchmark
        assertEquals(listOf(0.25, 0.25, 0.5, 4.0), benchmark.run { listOf(imageEncodeS, prefillS, firstTokenS, decodeTokensPerS) })
        assertEquals(4, benchmark.generatedTokens)
        assertEquals(Thermal.NONE to Thermal.LIGHT, benchmark.thermalBefore to benchmark.thermalAfter)
        assertTrue("${benchmark.peakBytes}", benchmark.peakBytes > 10_000_000)
    }

    @Test
    fun theMedianOfTwoIsHalfWayBetweenThem() {
        val timer = BenchmarkTimer(1.0, Thermal.NONE) { 0L }
        timer.asked(imageS = 1.0)
        timer.asked(imageS = 4.0)
        assertEquals(2.5, timer.finish(Thermal.NONE).imageEncodeS, 0.0)
    }

    @Test
    fun theRecordThatDiffersIsCaptured() {
        val scene = scene { if (it.pixelsSha256 == firstPixels) it else it.copy(answer = "blue") }
        val report = check(scene)
        val telling = checkNotNull(report.telling)
        assertEquals("a-banner.ppm", telling.golden.name)
        scene.model.release()
        val capture = report.capture(telling, scene.model, scene.Methods(), mapOf("model" to "a phone"))
        val expected = telling.golden.record.copy(answer = "yes")
        assertEquals(expected, capture.record)
        assertEquals(report.benchmark.decodeTokensPerS, capture.stats["decode_tok_s"])
        CaptureWriter.write(capture, File(temporary.root, "capture.zip"))
    }

    private val firstPixels by lazy { Sha256.of(CheckScene().model.pixels(Golden.picture("pixels/primes.ppm"))) }

    @Test
    fun aSystemThatDoesNotTellItsMemoryIsNoFailure() {
        assertEquals(0L, ProcessMemory.peakBytes(File(temporary.root, "no-such-file")))
        val status = File(temporary.root, "status").apply { writeText("VmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 7 kB\n") }
        assertEquals(2048L * 1024, ProcessMemory.peakBytes(status))
    }

    @Test
    fun cancellingEndsIt() {
        val scene = scene()
        val job = Job()
        scene.engine.meanwhile = { if (it == "piece 0") job.cancel() }
        assertThrows(CancellationException::class.java) { check(scene, job) }
        assertEquals(1, scene.engine.pictures)
    }

    @Test
    fun aBundleWithoutRecordsSaysHowToMakeThem() {
        val manifest = CheckScene().manifest.copy(files = emptyList())
        val error = assertThrows(CaptureException::class.java) { check(CheckScene(manifest = manifest)) }
        assertTrue(error.message, "mvlm golden" in error.message!!)
    }

    @Test
    fun recordsThatCannotBeReadSayWhy() {
        val scene = scene()
        val index = File(scene.model.folder, "golden/golden.json")
        val cases = mapOf("{" to "JSON", "{}" to "records", "{\"records\": []}" to "records", "{\"records\": [1]}" to "record 1")
        for ((text, says) in cases) {
            index.writeText(text)
            val error = assertThrows(text, CaptureException::class.java) { check(scene) }
            assertTrue(error.message, says in error.message!!)
        }
        val escaping = scene { it }
        val other = File(escaping.model.folder, "golden/golden.json")
        other.writeText(other.readText().replace("primes.ppm", "../manifest.json"))
        assertThrows(CaptureException::class.java) { check(escaping) }
    }
}
