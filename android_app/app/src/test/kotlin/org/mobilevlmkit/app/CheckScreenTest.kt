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
class CheckScreenTest : OnStage() {
    private val pictures = CheckedBundle.pictures.map { it.name }

    private fun open(change: (Int, Record) -> Record = { _, record -> record }) {
        stage.allowCamera()
        stage.parts.prepare = { it.answers = { CheckedBundle.says } }
        CheckedBundle.writeTo(stage.folder("demo.mvlm"), change)
        stage.start()
        stage.take()
        stage.ask("Is it red?")
        model.go(Screen.CHECK)
        stage.parts.settle()
    }

    private val staysOn get() = stage.activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0

    @Test
    fun findingsAppearOneByOneThenTheSpeed() {
        open()
        val seen = ArrayList<Int>()
        stage.engine.meanwhile = {
            stage.idle()
            if (it == "generate") {
                seen.add(stage.texts().lines().count { line -> line.startsWith("✓") })
                assertTrue(stage.isSeen(R.string.check_running))
                assertTrue(staysOn)
                assertNull(stage.find(stage.string(R.string.check_start)))
                assertNull(stage.find(stage.string(R.string.check_share)))
            }
        }
        stage.touch(R.string.check_start)
        assertEquals(listOf(2, 5), seen.take(2))
        assertTrue(stage.texts(), stage.isSeen(R.string.check_same, 6))
        for (stageName in listOf(R.string.stage_pixels, R.string.stage_prompt, R.string.stage_answer)) {
            assertTrue(stage.isSeen(R.string.check_line_same, pictures[1], stage.string(stageName)))
        }
        val figures = checkNotNull(stage.state.check?.benchmark)
        assertTrue(figures.peakBytes > 0)
        for (figure in listOf("Load: 1.8 s", "Picture: 2.4 s", "First word: 2.7 s", "Speed: 12.5 tokens/s")) {
            assertTrue(stage.texts(), figure in stage.texts().lines())
        }
        assertTrue(stage.isSeen(R.string.check_memory, android.text.format.Formatter.formatShortFileSize(stage.app, figures.peakBytes)))
        assertTrue(stage.isSeen(R.string.check_thermal, "Cool"))
        assertFalse(staysOn)
        stage.touch(R.string.back)
        assertEquals(listOf("Is it red?"), stage.state.session.turns.map { it.question })
        assertEquals(Phase.SEEN, stage.state.session.phase)
    }

    @Test
    fun aRecordThatDiffersIsShownAsSuch() {
        open { index, record -> if (index == 1) record.copy(answer = CheckedBundle.OTHER_ANSWER) else record }
        stage.touch(R.string.check_start)
        assertTrue(stage.texts(), stage.isSeen(R.string.check_differs, 1, 6))
        val line = stage.string(R.string.check_line_differs, pictures[1], stage.string(R.string.stage_answer))
        val differing = "✗ $line\nfrom character 7: got 'circle', expected 'star'"
        assertTrue(stage.texts(), differing in stage.texts())
        assertEquals(1, stage.texts().split("✗").size - 1)
    }

    @Test
    fun aBundleWithoutRecordsSaysHowToMakeThem() {
        stage.seen()
        model.go(Screen.CHECK)
        stage.parts.settle()
        stage.touch(R.string.check_start)
        assertTrue(stage.isSeen(R.string.check_failed))
        assertTrue(stage.texts(), "demo.mvlm: got no golden records, expected some; make them: mvlm golden BUNDLE" in stage.texts())
        assertNull(stage.find(stage.string(R.string.check_share)))
        assertTrue(stage.find(stage.string(R.string.check_start))!!.isEnabled)
    }

    @Test
    fun tooLittleMemoryEndsItReadably() {
        open()
        stage.engine.meanwhile = { if (it == "generate") throw OutOfMemoryError("no room for logits") }
        stage.touch(R.string.check_start)
        assertTrue(stage.texts(), stage.isSeen(R.string.check_failed))
        assertTrue("no room for logits" in stage.texts())
        assertFalse(stage.isSeen(R.string.check_running))
    }

    @Test
    fun leavingTheScreenEndsIt() {
        open()
        val before = stage.engine.pictures
        stage.engine.meanwhile = { if (it == "piece 0" && stage.state.screen == Screen.CHECK) stage.press(stage.string(R.string.back)) }
        stage.touch(R.string.check_start)
        assertEquals(Screen.CHAT, stage.state.screen)
        assertNull(stage.state.check)
        assertEquals(before + 2, stage.engine.pictures) // one record, then the conversation's own put back
        assertEquals(listOf("Is it red?"), stage.state.session.turns.map { it.question })
    }

    @Test
    fun leavingTheAppInterruptsItAndSaysSo() {
        open()
        stage.engine.meanwhile = {
            if (it == "piece 0") {
                stage.engine.meanwhile = {}
                stage.controller.pause().stop()
            }
        }
        stage.touch(R.string.check_start)
        stage.comeBack()
        assertTrue(stage.texts(), stage.isSeen(R.string.check_interrupted))
        assertFalse(stage.isSeen(R.string.check_same, 2))
        stage.touch(R.string.check_start)
        assertTrue(stage.isSeen(R.string.check_same, 6))
    }

    @Test
    fun leavingTheAppBeforeItBeginsInterruptsItToo() {
        open()
        stage.press(stage.string(R.string.check_start))
        stage.controller.pause().stop()
        stage.comeBack()
        assertTrue(stage.texts(), stage.isSeen(R.string.check_interrupted))
        assertTrue(stage.find(stage.string(R.string.check_start)) != null)
    }

    @Test
    fun withoutAModelItCannotBegin() {
        stage.giveMemory(1)
        stage.aiming()
        model.go(Screen.CHECK)
        stage.parts.settle()
        assertFalse(stage.find(stage.string(R.string.check_start))!!.isEnabled)
        assertTrue(stage.isSeen(R.string.check_needs_model))
    }

    /** The intent that the share sheet is given for the capture of the last check. */
    private fun share(): Intent {
        stage.touch(R.string.check_start)
        stage.touch(R.string.check_share)
        val sheet = shadowOf(stage.activity).nextStartedActivity
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
        assertEquals("application/zip", stage.app.contentResolver.getType(uri))

        val members = LinkedHashMap<String, ByteArray>()
        ZipInputStream(stage.app.contentResolver.openInputStream(uri)).use { zip ->
            generateSequence { zip.nextEntry }.forEach { members[it.name] = zip.readBytes() }
        }
        assertEquals(listOf("capture.json", "pixels.png", "picture.png"), members.keys.toList())
        val capture = JsonReader.read(members.getValue("capture.json")) as Map<*, *>
        assertEquals("a red circle", (capture["record"] as Map<*, *>)["answer"])
        val picture = android.graphics.BitmapFactory.decodeStream(members.getValue("picture.png").inputStream())
        assertEquals(Photos.read(CheckedBundle.pictures[1]).width, picture.width)

        // The engine was freed to make room; the conversation comes back with it.
        assertEquals(listOf(true, false), stage.parts.fakes.map { it.isClosed })
        stage.touch(R.string.back)
        assertEquals(listOf("Is it red?"), stage.state.session.turns.map { it.question })
        assertEquals(Phase.SEEN, stage.state.session.phase)
    }

    @Test
    fun aCaptureThatCannotBeWrittenIsToldAndCanBeTriedAgain() {
        open()
        stage.touch(R.string.check_start)
        CaptureProvider.folder(stage.app).apply { deleteRecursively() }.writeText("in the way")
        stage.touch(R.string.check_share)
        assertTrue(stage.texts(), stage.isSeen(R.string.check_failed))
        assertTrue("expected a place to write" in stage.texts())
        assertNull(shadowOf(stage.activity).nextStartedActivity)
        java.io.File(stage.app.cacheDir, "captures").delete()
        stage.touch(R.string.check_share)
        assertEquals(Intent.ACTION_CHOOSER, shadowOf(stage.activity).nextStartedActivity.action)
        assertFalse(stage.isSeen(R.string.check_failed))
    }

    @Test
    fun aCaptureThatComesAfterTheUserHasLeftIsNotShared() {
        open()
        stage.touch(R.string.check_start)
        stage.parts.onMethods = { stage.press(stage.string(R.string.back)) }
        stage.touch(R.string.check_share)
        assertEquals(Screen.CHAT, stage.state.screen)
        assertNull(shadowOf(stage.activity).nextStartedActivity)
        assertEquals(Phase.SEEN, stage.state.session.phase)
    }
}
