package org.mobilevlmkit.app

import android.content.Intent
import android.net.Uri
import android.view.WindowManager
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.check.Record
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.session.Phase
import org.robolectric.Shadows.shadowOf
import java.util.zip.ZipInputStream

/** "Check this phone", and its capture in the share sheet. */
class CheckScreenTest : AppTestCase() {
    private val pictures = CheckedBundle.pictures.map { it.name }

    private fun open(change: (Int, Record) -> Record = { _, record -> record }) {
        driver.allowCamera()
        driver.dependencies.prepare = { it.answers = { CheckedBundle.says } }
        CheckedBundle.writeTo(driver.folder("demo.mvlm"), change)
        driver.start()
        driver.take()
        driver.ask("Is it red?")
        model.go(Screen.CHECK)
        driver.dependencies.settle()
    }

    private val staysOn get() = driver.activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0

    @Test
    fun findingsAppearOneByOneThenTheSpeed() {
        open()
        val seen = ArrayList<Int>()
        driver.engine.meanwhile = {
            driver.idle()
            if (it == "generate") {
                seen.add(driver.texts().lines().count { line -> line.startsWith("✓") })
                assertTrue(driver.isSeen(R.string.check_running))
                assertTrue(staysOn)
                assertNull(driver.find(driver.string(R.string.check_start)))
                assertNull(driver.find(driver.string(R.string.check_share)))
            }
        }
        driver.touch(R.string.check_start)
        assertEquals(listOf(2, 5), seen.take(2))
        assertTrue(driver.texts(), driver.isSeen(R.string.check_same, 6))
        for (stageName in listOf(R.string.stage_pixels, R.string.stage_prompt, R.string.stage_answer)) {
            assertTrue(driver.isSeen(R.string.check_line_same, pictures[1], driver.string(stageName)))
        }
        val figures = checkNotNull(driver.state.check?.measurements)
        assertTrue(figures.peakBytes > 0)
        for (figure in listOf("Load: 1.8 s", "Picture: 2.4 s", "First word: 2.7 s", "Speed: 12.5 tokens/s")) {
            assertTrue(driver.texts(), figure in driver.texts().lines())
        }
        assertTrue(driver.isSeen(R.string.check_memory, android.text.format.Formatter.formatShortFileSize(driver.app, figures.peakBytes)))
        assertTrue(driver.isSeen(R.string.check_thermal, "Cool"))
        assertFalse(staysOn)
        driver.touch(R.string.back)
        assertEquals(listOf("Is it red?"), driver.state.session.turns.map { it.question })
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
    }

    @Test
    fun aRecordThatDiffersIsShownAsSuch() {
        open { index, record -> if (index == 1) record.copy(answer = CheckedBundle.OTHER_ANSWER) else record }
        driver.touch(R.string.check_start)
        assertTrue(driver.texts(), driver.isSeen(R.string.check_differs, 1, 6))
        val line = driver.string(R.string.check_line_differs, pictures[1], driver.string(R.string.stage_answer))
        val differing = "✗ $line\nfrom character 7: got 'circle', expected 'star'"
        assertTrue(driver.texts(), differing in driver.texts())
        assertEquals(1, driver.texts().split("✗").size - 1)
    }

    @Test
    fun aBundleWithoutRecordsReportsHowToMakeThem() {
        driver.seen()
        model.go(Screen.CHECK)
        driver.dependencies.settle()
        driver.touch(R.string.check_start)
        assertTrue(driver.isSeen(R.string.check_failed))
        assertTrue(driver.texts(), "demo.mvlm: got no golden records; create them with: mvlm golden BUNDLE" in driver.texts())
        assertNull(driver.find(driver.string(R.string.check_share)))
        assertTrue(driver.find(driver.string(R.string.check_start))!!.isEnabled)
    }

    @Test
    fun tooLittleMemoryIsReported() {
        open()
        driver.engine.meanwhile = { if (it == "generate") throw OutOfMemoryError("no room for logits") }
        driver.touch(R.string.check_start)
        assertTrue(driver.texts(), driver.isSeen(R.string.check_failed))
        assertTrue("no room for logits" in driver.texts())
        assertFalse(driver.isSeen(R.string.check_running))
    }

    @Test
    fun leavingTheScreenEndsIt() {
        open()
        val before = driver.engine.pictures
        driver.engine.meanwhile = { if (it == "piece 0" && driver.state.screen == Screen.CHECK) driver.press(driver.string(R.string.back)) }
        driver.touch(R.string.check_start)
        assertEquals(Screen.CHAT, driver.state.screen)
        assertNull(driver.state.check)
        assertEquals(before + 2, driver.engine.pictures) // one record, then the conversation's own picture
        assertEquals(listOf("Is it red?"), driver.state.session.turns.map { it.question })
    }

    @Test
    fun leavingTheAppInterruptsItVisibly() {
        open()
        driver.engine.meanwhile = {
            if (it == "piece 0") {
                driver.engine.meanwhile = {}
                driver.controller.pause().stop()
            }
        }
        driver.touch(R.string.check_start)
        driver.comeBack()
        assertTrue(driver.texts(), driver.isSeen(R.string.check_interrupted))
        assertFalse(driver.isSeen(R.string.check_same, 2))
        driver.touch(R.string.check_start)
        assertTrue(driver.isSeen(R.string.check_same, 6))
    }

    @Test
    fun leavingTheAppBeforeItBeginsInterruptsItToo() {
        open()
        driver.press(driver.string(R.string.check_start))
        driver.controller.pause().stop()
        driver.comeBack()
        assertTrue(driver.texts(), driver.isSeen(R.string.check_interrupted))
        assertTrue(driver.find(driver.string(R.string.check_start)) != null)
    }

    @Test
    fun withoutAModelItCannotBegin() {
        driver.giveMemory(1)
        driver.aiming()
        model.go(Screen.CHECK)
        driver.dependencies.settle()
        assertFalse(driver.find(driver.string(R.string.check_start))!!.isEnabled)
        assertTrue(driver.isSeen(R.string.check_needs_model))
    }

    /** The intent that the share sheet receives for the last check's capture. */
    private fun share(): Intent {
        driver.touch(R.string.check_start)
        driver.touch(R.string.check_share)
        val sheet = shadowOf(driver.activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, sheet.action)
        return checkNotNull(@Suppress("DEPRECATION") sheet.getParcelableExtra(Intent.EXTRA_INTENT))
    }

    @Test
    fun aCaptureGoesToTheShareSheetToBeReadAndNoMore() {
        open { index, record -> if (index == 1) record.copy(answer = CheckedBundle.OTHER_ANSWER) else record }
        val send = share()
        assertEquals(Intent.ACTION_SEND, send.action)
        assertEquals("application/zip", send.type)
        val grants = Intent.FLAG_GRANT_READ_URI_PERMISSION or
            Intent.FLAG_GRANT_WRITE_URI_PERMISSION or
            Intent.FLAG_GRANT_PERSISTABLE_URI_PERMISSION or
            Intent.FLAG_GRANT_PREFIX_URI_PERMISSION
        assertEquals(Intent.FLAG_GRANT_READ_URI_PERMISSION, send.flags and grants)
        val uri = checkNotNull(@Suppress("DEPRECATION") send.getParcelableExtra<Uri>(Intent.EXTRA_STREAM))
        assertEquals("content" to "org.mobilevlmkit.app.captures", uri.scheme to uri.authority)
        assertEquals(uri, send.clipData!!.getItemAt(0).uri)
        assertEquals("application/zip", driver.app.contentResolver.getType(uri))

        val members = LinkedHashMap<String, ByteArray>()
        ZipInputStream(driver.app.contentResolver.openInputStream(uri)).use { zip ->
            generateSequence { zip.nextEntry }.forEach { members[it.name] = zip.readBytes() }
        }
        assertEquals(listOf("capture.json", "pixels.png", "picture.png"), members.keys.toList())
        val capture = JsonReader.read(members.getValue("capture.json")) as Map<*, *>
        assertEquals("a red circle", (capture["record"] as Map<*, *>)["answer"])
        val picture = android.graphics.BitmapFactory.decodeStream(members.getValue("picture.png").inputStream())
        assertEquals(Photos.read(CheckedBundle.pictures[1]).width, picture.width)

        // The engine was freed to make room; the conversation is restored.
        assertEquals(listOf(true, false), driver.dependencies.fakes.map { it.isClosed })
        driver.touch(R.string.back)
        assertEquals(listOf("Is it red?"), driver.state.session.turns.map { it.question })
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
    }

    @Test
    fun aFailedCaptureIsReportedAndCanBeRetried() {
        open()
        driver.touch(R.string.check_start)
        CaptureProvider.folder(driver.app).apply { deleteRecursively() }.writeText("in the way")
        driver.touch(R.string.check_share)
        assertTrue(driver.texts(), driver.isSeen(R.string.check_failed))
        assertTrue("expected a writable location" in driver.texts())
        assertNull(shadowOf(driver.activity).nextStartedActivity)
        java.io.File(driver.app.cacheDir, "captures").delete()
        driver.touch(R.string.check_share)
        assertEquals(Intent.ACTION_CHOOSER, shadowOf(driver.activity).nextStartedActivity.action)
        assertFalse(driver.isSeen(R.string.check_failed))
    }

    @Test
    fun aCaptureThatComesAfterTheUserHasLeftIsNotShared() {
        open()
        driver.touch(R.string.check_start)
        driver.dependencies.onMethods = { driver.press(driver.string(R.string.back)) }
        driver.touch(R.string.check_share)
        assertEquals(Screen.CHAT, driver.state.screen)
        assertNull(shadowOf(driver.activity).nextStartedActivity)
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
    }
}
