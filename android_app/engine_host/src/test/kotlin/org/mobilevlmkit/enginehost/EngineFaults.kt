package org.mobilevlmkit.enginehost

import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.MobileVlmException
import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.pixels.SquarePixels
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.seam.Seam
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File
import kotlin.concurrent.thread

/** Faults and badly timed calls become exceptions, never a crash, and the next answer is right. */
class EngineFaults {
    @get:Rule
    val temporary = TemporaryFolder()
    private val manifest = BundleFiles.verify(Seam.bundle, Job())
    private val tokenizer = Tokenizer.read(File(Seam.bundle, manifest.tokenizerJson))
    private val prompt = Prompt(manifest.prompt)
    private val case = Seam.cases.first { Seam.turns(it).first()["ended"] == "COMPLETE" && (Seam.turns(it).first()["tokens"] as Long) > 8 }
    private val turn = Seam.turns(case).first()
    private val pixels = SquarePixels(manifest.image).of(Seam.picture(case["picture"] as String))
    private val question = prompt.afterImage(turn["question"] as String)

    /** Tokens in the KV cache once the question is in it. */
    private val asked = 1 + tokenizer.encode(prompt.beforeImage).size + manifest.image.tokens + tokenizer.encode(question).size

    private fun <T> withEngine(work: (VlmEngine) -> T): T = DesktopEngine.open(Seam.bundle, manifest).use(work)

    private fun VlmEngine.encodeImage() {
        reset()
        prefillText(prompt.beforeImage)
        prefillImage(pixels)
    }

    private fun VlmEngine.pieces(onPiece: (Int) -> Unit = {}): List<String> {
        val pieces = ArrayList<String>()
        generate(question, asked, ROOM) {
            pieces.add(it)
            onPiece(pieces.size)
        }
        return pieces
    }

    private fun VlmEngine.wholeAnswer(): List<String> {
        encodeImage()
        return pieces().also { assertEquals(turn["answer"], it.dropLast(1).joinToString("").replace('▁', ' ').trim()) }
    }

    @Test
    fun theKvCacheEndsAtTheManifestsLimit() = withEngine { engine ->
        engine.encodeImage()
        var position = asked - tokenizer.encode(question).size
        val one = "red"
        assertEquals(1, tokenizer.encode(one).size)
        while (position < manifest.maxContext) {
            engine.prefillText(one)
            position++
        }
        assertThrows(EngineException::class.java) { engine.prefillText(one) }
        assertThrows(EngineException::class.java) { engine.generate(one, position + 1, ROOM) {} }
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aTextLongerThanThePrefillIsRefused() = withEngine { engine ->
        engine.reset()
        assertThrows(EngineException::class.java) { engine.prefillText("red ".repeat(manifest.maxPrefill + 1)) }
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aPictureOfAnotherSizeIsRefused() = withEngine { engine ->
        engine.reset()
        assertThrows(EngineException::class.java) { engine.prefillImage(ByteArray(pixels.size - 1)) }
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aListenersExceptionPropagatesAndTheNextAnswerIsRight() = withEngine { engine ->
        for (at in listOf(1, 2, 5)) {
            engine.encodeImage()
            val thrown = IllegalArgumentException("at $at")
            val came = assertThrows(EngineException::class.java) { engine.pieces { if (it == at) throw thrown } }
            assertSame(thrown, came.cause)
        }
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun stoppedAtEveryPieceTheAnswerIsAPrefixAndTheNextOneComplete() = withEngine { engine ->
        val whole = engine.wholeAnswer()
        for (at in 1..whole.size) {
            engine.encodeImage()
            val pieces = engine.pieces { if (it == at) engine.stop() }
            assertEquals(whole.take(pieces.size), pieces)
            assertTrue("stopped at $at, got ${pieces.size} pieces of ${whole.size}", pieces.size in at..at + 1)
        }
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aStopWhileIdleHasNoLaterEffect() = withEngine { engine ->
        engine.stop()
        engine.encodeImage()
        engine.stop()
        assertEquals(turn["tokens"] as Long + 1, engine.pieces().size.toLong())
        engine.stop()
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aStopFromAnotherThreadAtAnyMomentKeepsTheNextAnswerComplete() = withEngine { engine ->
        val whole = engine.wholeAnswer()
        var isDone = false
        val stopper = thread {
            var pause = 0L
            while (!isDone) {
                Thread.sleep(0, (pause++ * 7919 % 900_000).toInt())
                engine.stop()
            }
        }
        repeat(30) {
            engine.encodeImage()
            val pieces = engine.pieces()
            assertEquals(whole.take(pieces.size), pieces)
        }
        isDone = true
        stopper.join()
        engine.wholeAnswer()
        Unit
    }

    @Test
    fun aClosedEngineRefusesAndClosesAgain() {
        val engine = DesktopEngine.open(Seam.bundle, manifest)
        engine.wholeAnswer()
        engine.close()
        engine.close()
        engine.stop()
        assertThrows(EngineException::class.java) { engine.reset() }
        assertThrows(EngineException::class.java) { engine.prefillText("red") }
        assertThrows(EngineException::class.java) { engine.prefillImage(pixels) }
        assertThrows(EngineException::class.java) { engine.pieces() }
    }

    @Test
    fun openedAndClosedManyTimes() = repeat(10) { withEngine { it.wholeAnswer() } }

    @Test
    fun aProgramThatIsMissingOrCutIsRefused() {
        val program = File(Seam.bundle, manifest.artifacts.getValue("executorch"))
        for (bytes in listOf(null, 0L, 7L, 64L, 4_096L, program.length() / 2, program.length() - 4_096)) {
            val folder = copy()
            val cut = File(folder, program.name)
            if (bytes == null) cut.delete() else cut.writeBytes(program.inputStream().use { it.readNBytes(bytes.toInt()) })
            assertRefused("cut to $bytes bytes", folder)
        }
    }

    @Test
    fun anInvalidTokenizerIsRefused() {
        for (text in listOf(null, "", "{}", "[1, 2", "<html>no such page</html>")) {
            val folder = copy()
            val file = File(folder, manifest.tokenizerJson)
            if (text == null) file.delete() else file.writeText(text)
            assertRefused("tokenizer $text", folder)
        }
    }

    @Test
    fun theMethodsRefuseWhatDoesNotFit() = DesktopEngine.methods(Seam.bundle, manifest).use { methods ->
        val width = manifest.sizes.hiddenSize
        assertThrows(EngineException::class.java) { methods.textDecoder(FloatArray(2 * width), manifest.maxContext - 1L) }
        assertThrows(EngineException::class.java) { methods.textDecoder(FloatArray((manifest.maxPrefill + 1) * width), 0) }
        assertThrows(EngineException::class.java) { methods.tokenEmbedding(LongArray(manifest.maxPrefill + 1)) }
        assertEquals(width * 2, methods.tokenEmbedding(longArrayOf(1, 2)).size)
        assertEquals(manifest.sizes.vocabSize, methods.textDecoder(FloatArray(width), 0).size)
    }

    private fun copy(): File = temporary.newFolder().also { Seam.bundle.copyRecursively(it, overwrite = true) }

    private fun assertRefused(what: String, folder: File) {
        try {
            // The fault may be found on loading or on the first run.
            DesktopEngine.open(folder, manifest).use { it.wholeAnswer() }
        } catch (_: MobileVlmException) {
            return
        }
        throw AssertionError("$what: got an answer, expected an error")
    }

    private companion object {
        const val ROOM = 80
    }
}
