package org.mobilevlmkit.app

import android.os.Bundle
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], application = StagedApp::class, qualifiers = "w360dp-h720dp-port-hdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class MainActivityTest {
    private val stage = Stage()

    private fun string(id: Int, vararg values: Any) = stage.app.getString(id, *values)

    private fun assertAccessible() = assertEquals(emptyList<String>(), Accessibility.faults(stage))

    @org.junit.Before
    fun memory() {
        val activities = stage.app.getSystemService(android.app.ActivityManager::class.java)
        org.robolectric.Shadows.shadowOf(activities).setMemoryInfo(android.app.ActivityManager.MemoryInfo().apply { availMem = 4L shl 30; threshold = 200L shl 20 })
    }

    @Test
    fun theFirstScreenSaysThatThereIsNoNetworkAndImports() {
        stage.start()
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertTrue(string(R.string.welcome_private) in stage.texts())
        assertAccessible()
        stage.screenshot("android-welcome")
        val zip = TestBundle().zipped()
        stage.app.model.import("demo.mvlm.zip") { zip.inputStream() }
        org.robolectric.Shadows.shadowOf(android.os.Looper.getMainLooper()).idle()
        assertTrue(string(R.string.import_title, "demo.mvlm.zip") in stage.texts())
        stage.parts.settle()
        assertEquals(Screen.CHAT, stage.state.screen)
        assertEquals("demo.mvlm", stage.state.session.bundle)
        assertTrue(string(R.string.camera_ask) in stage.texts())
    }

    @Test
    fun aDamagedArchiveIsRefusedReadablyAndCancellingLeavesNothing() {
        stage.start()
        stage.app.model.import("broken.mvlm.zip") { byteArrayOf(1, 2, 3).inputStream() }
        stage.parts.settle()
        assertTrue(string(R.string.import_failed) in stage.texts())
        assertTrue("broken.mvlm.zip: got a damaged archive" in stage.texts())
        val zip = TestBundle().zipped()
        stage.app.model.import("demo.mvlm.zip") { zip.inputStream() }
        stage.app.model.cancelImport()
        stage.parts.settle()
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertTrue(stage.state.bundles.isEmpty())
    }

    @Test
    fun aPictureIsEncodedBeforeTheQuestionAndTheAnswerStreams() {
        stage.seen()
        assertEquals(1, stage.parts.fakes.single().pictures)
        assertEquals(Phase.SEEN, stage.state.session.phase)
        val seen = ArrayList<String>()
        stage.parts.fakes.single().answers = { listOf("▁A", "▁red", "▁circle", ".", "</s>") }
        stage.parts.fakes.single().meanwhile = { if (it.startsWith("piece")) seen.add(stage.app.model.state.session.turns.lastOrNull()?.answer ?: "") .also { org.robolectric.Shadows.shadowOf(android.os.Looper.getMainLooper()).idle() } }
        stage.ask("What is this?")
        assertTrue("A red circle." in stage.texts())
        assertTrue("got $seen", seen.any { it == "A" || it == "A red" })
        assertTrue(string(R.string.you, "What is this?") in stage.texts())
        assertEquals("", "${stage.field().text}")
        stage.touch("What colour is it?")
        assertEquals(2, stage.state.session.turns.size)
        assertEquals(1, stage.parts.fakes.single().pictures)
        assertAccessible()
        stage.screenshot("android-answer")
        stage.touch(R.string.undo_question_label)
        assertEquals(1, stage.state.session.turns.size)
    }

    @Test
    fun stopEndsTheAnswerAtOnce() {
        stage.seen()
        val engine = stage.parts.fakes.single()
        engine.answers = { List(50) { "▁red" } }
        engine.meanwhile = { if (it == "piece 3") stage.app.model.stop() }
        stage.ask("What is this?")
        val turn = stage.state.session.turns.single()
        assertEquals(Ended.STOPPED, turn.ended)
        assertTrue(turn.answer.split(" ").size in 3..5)
        assertTrue(string(R.string.ended_stopped) in stage.texts())
    }

    @Test
    fun aNewPictureBeginsAnewAndCanBeUndone() {
        stage.seen()
        stage.ask("What is this?")
        stage.touch(R.string.new_picture)
        stage.touch(R.string.shutter)
        stage.camera.frame(20)
        stage.parts.settle()
        assertTrue(stage.state.session.turns.isEmpty())
        stage.touch(R.string.new_picture)
        stage.touch(R.string.undo_picture_label)
        assertEquals(Phase.SEEN, stage.state.session.phase)
    }

    @Test
    fun liveModeAnswersTheNewestSceneAndEnds() {
        stage.seen()
        stage.touch(R.string.new_picture)
        stage.app.model.startLive("What is this?")
        stage.parts.settle()
        stage.camera.frame(80)
        stage.parts.settle()
        assertEquals("yes", stage.state.live?.answer)
        assertTrue(string(R.string.live_age, 0) in stage.texts())
        assertAccessible()
        stage.touch(R.string.live_end)
        assertNull(stage.state.live)
    }

    @Test
    fun aDeniedCameraShowsTheWayBack() {
        stage.push()
        stage.start()
        assertTrue(string(R.string.camera_ask) in stage.texts())
        stage.activity.onRequestPermissionsResult(1, arrayOf(android.Manifest.permission.CAMERA), intArrayOf(android.content.pm.PackageManager.PERMISSION_DENIED))
        stage.parts.settle()
        assertTrue(string(R.string.camera_denied) in stage.texts())
        assertAccessible()
        stage.touch(R.string.camera_settings)
        val next = org.robolectric.Shadows.shadowOf(stage.activity).nextStartedActivity
        assertEquals(android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS, next.action)
    }

    @Test
    fun turningThePhoneKeepsModelPictureAnswerAndDraft() {
        stage.seen()
        stage.ask("What is this?")
        stage.field().text = "And why"
        RuntimeEnvironment.setQualifiers("w720dp-h360dp-land-hdpi")
        stage.controller.configurationChange()
        stage.controller.visible()
        stage.parts.settle()
        assertTrue(stage.texts(), "yes" in stage.texts())
        assertEquals("And why", "${stage.field().text}")
        assertEquals(1, stage.parts.fakes.size)
        assertAccessible()
        stage.screenshot("android-landscape")
    }

    @Test
    fun aConversationSurvivesTheEndOfTheProcess() {
        stage.seen()
        stage.ask("What is this?")
        val saved = Bundle()
        stage.controller.saveInstanceState(saved)
        val fresh = AppModel(FakeParts(stage.app))
        val parts = fresh.parts as FakeParts
        fresh.restore(saved)
        parts.settle()
        assertEquals(listOf("What is this?" to "yes"), fresh.state.session.turns.map { it.question to it.answer })
        assertTrue(fresh.state.picture != null)
        assertTrue(fresh.ask("And now?"))
        parts.settle()
        assertEquals(2, fresh.state.session.turns.size)
    }

    @Test
    fun aCrashInTheEngineIsToldAndNothingIsLoadedUnasked() {
        Settings(stage.app).isEngineBusy = true
        stage.allowCamera()
        stage.push()
        stage.start()
        assertTrue(string(R.string.problem_crash) in stage.texts())
        assertTrue(stage.parts.fakes.isEmpty())
        stage.touch(R.string.try_again)
        assertEquals(1, stage.parts.fakes.size)
        assertFalse(string(R.string.problem_crash) in stage.texts())
    }

    @Test
    fun aFailingEngineAndTooLittleMemoryAreScreens() {
        stage.parts.prepare = { it.meanwhile = { call -> if (call == "prefillImage") error("no kernel") } }
        stage.seen()
        assertTrue(string(R.string.problem_engine) in stage.texts())
        assertTrue("no kernel" in stage.texts())
        assertAccessible()
    }

    @Test
    @Config(qualifiers = "+night")
    fun itIsReadableAtNight() {
        stage.seen()
        stage.ask("What is this?")
        assertAccessible()
        stage.screenshot("android-night")
    }

    @Test
    @Config(qualifiers = "+zh-rCN")
    fun itSpeaksChinese() {
        stage.start()
        assertTrue("看到什么，就问什么" in stage.texts())
        assertAccessible()
    }

    @Test
    @Config(fontScale = 2.0f)
    fun largeFontsStayUsable() {
        stage.seen()
        stage.ask("What is this?")
        assertAccessible()
        assertTrue(stage.views().any { it === stage.field() })
        stage.screenshot("android-large")
    }

    @Test
    fun everyOtherScreenIsAccessible() {
        stage.seen()
        for (screen in listOf(Screen.BUNDLES, Screen.CHECK, Screen.SETTINGS, Screen.ABOUT)) {
            stage.app.model.go(screen)
            stage.parts.settle()
            assertEquals(screen, stage.state.screen)
            assertAccessible()
            assertTrue(stage.app.model.back())
        }
    }
}
