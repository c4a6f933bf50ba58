package org.mobilevlmkit.core.check

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.Ended
import java.io.File
import java.io.IOException
import java.util.zip.ZipInputStream
import javax.imageio.ImageIO

/**
 * Writes `tests/golden/capture/android.zip`, which a Python test reads. To update it:
 * `scripts/test_android.sh CaptureWriterTest; cp android_app/build/android-capture.zip tests/golden/capture/android.zip`.
 */
class CaptureWriterTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private val fixture = CheckFixture()
    private val picture = Golden.picture("pixels/a-banner.ppm")
    private val pixels = fixture.model.pixels(picture)

    private fun capture(withPicture: Boolean = true) = Capture(
        manifest = fixture.manifest,
        record = RecordMaker(fixture.model, fixture.Methods()).make(pixels, "What is this?", 8, "yes, 你", null, Ended.COMPLETE),
        pixels = pixels,
        picture = if (withPicture) picture else null,
        device = mapOf("model" to "a phone", "android" to 35),
        stats = mapOf("image_encode_s" to 1.5, "decode_tok_s" to 12.25),
    )

    /** Members as JSON values and pixels, independent of compression. */
    private fun contents(file: File): Map<String, Any?> {
        val contents = LinkedHashMap<String, Any?>()
        ZipInputStream(file.inputStream()).use { zip ->
            while (true) {
                val entry = zip.nextEntry ?: break
                val bytes = zip.readBytes()
                contents[entry.name] = if (entry.name.endsWith(".json")) {
                    JsonReader.read(bytes)
                } else {
                    val image = ImageIO.read(bytes.inputStream())
                    listOf(image.width, image.height) + image.getRGB(0, 0, image.width, image.height, null, 0, image.width).asList()
                }
            }
        }
        return contents
    }

    @Test
    fun theGoldenCaptureIsWhatIsWritten() {
        val file = File(System.getProperty("build"), "android-capture.zip")
        file.delete()
        CaptureWriter.write(capture(), file)
        val contents = contents(file)
        assertEquals(listOf("capture.json", "pixels.png", "picture.png"), contents.keys.toList())
        assertEquals(contents(Golden.file("capture/android.zip")), contents)
    }

    @Test
    fun thePictureMayBeLeftOut() {
        val file = File(temporary.root, "capture.zip")
        CaptureWriter.write(capture(withPicture = false), file)
        assertEquals(listOf("capture.json", "pixels.png"), contents(file).keys.toList())
        assertEquals(listOf("capture.zip"), temporary.root.list()!!.toList())
    }

    @Test
    fun nothingIsOverwrittenAndNothingIncompleteIsLeft() {
        val file = File(temporary.root, "capture.zip").apply { writeText("mine") }
        assertTrue("exists" in assertThrows(CaptureException::class.java) { CaptureWriter.write(capture(), file) }.message!!)
        assertEquals("mine", file.readText())
        file.delete()
        assertThrows(CaptureException::class.java) { CaptureWriter.write(capture(), File(temporary.root, "no/folder.zip")) }
        val good = capture()
        val failing = object : Picture by picture {
            override fun readRow(y: Int, into: IntArray, at: Int) = if (y > 3) throw IOException("gone") else picture.readRow(y, into, at)
        }
        assertThrows(CaptureException::class.java) {
            CaptureWriter.write(Capture(good.manifest, good.record, pixels, failing, good.device, good.stats), file)
        }
        val others = pixels.copyOf().also { it[0]++ }
        assertThrows(CaptureException::class.java) {
            CaptureWriter.write(Capture(good.manifest, good.record, others, picture, good.device, good.stats), file)
        }
        assertEquals(emptyList<String>(), temporary.root.list()!!.toList())
    }
}
