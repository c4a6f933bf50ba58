package org.mobilevlmkit.app

import android.content.ComponentCallbacks2
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase

/** What the system does with the app: turn it, leave it, take its memory, end it. */
class LifeTest : OnStage() {
    private val landscape = "w720dp-h360dp-land-hdpi"

    @Test
    fun turningThePhoneKeepsModelPictureAnswerAndDraft() {
        stage.seen()
        stage.ask("What is this?")
        stage.field().text = "And why"
        stage.change(landscape)
        stage.parts.settle()
        assertTrue(stage.texts(), "yes" in stage.texts().lines())
        assertEquals("And why", "${stage.field().text}")
        assertEquals(1, stage.parts.fakes.size)
        assertTrue(stage.state.picture != null)
    }

    @Test
    fun turningThePhoneDuringAnAnswerLetsItGoOn() {
        stage.seen()
        stage.engine.answers = Scenery::answer
        stage.engine.meanwhile = {
            if (it == "piece 5") {
                stage.change(landscape)
                assertTrue(stage.texts(), "A red circle in the" in stage.texts())
                assertTrue(stage.find(stage.string(R.string.stop)) != null)
            }
        }
        stage.ask("Describe the image.")
        assertTrue(stage.texts(), "a yellow word MAP at the bottom right." in stage.texts())
        assertEquals(Ended.COMPLETE, stage.state.session.turns.single().ended)
    }

    @Test
    fun leavingTheAppStopsTheAnswerAndComingBackGoesOn() {
        stage.seen()
        stage.engine.answers = { List(50) { "▁red" } }
        stage.engine.meanwhile = {
            if (it == "piece 3") {
                stage.engine.meanwhile = {}
                stage.controller.pause().stop()
            }
        }
        stage.ask("What is this?")
        assertEquals(Ended.STOPPED, stage.state.session.turns.single().ended)
        stage.comeBack()
        stage.engine.answers = { listOf("▁yes", "</s>") }
        stage.ask("And?")
        assertEquals("yes", stage.state.session.turns.last().answer)
    }

    @Test
    fun memoryIsGivenBackInTheBackgroundAndTheConversationReturns() {
        stage.seen()
        stage.ask("What is this?")
        stage.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL)
        stage.parts.settle()
        assertFalse(stage.engine.isClosed) // it is being looked at
        stage.leave()
        assertFalse(stage.engine.isClosed)
        stage.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
        stage.parts.settle()
        assertTrue(stage.engine.isClosed)
        assertEquals(Phase.SUSPENDED, stage.state.session.phase)
        stage.comeBack()
        assertEquals(2, stage.parts.fakes.size)
        assertEquals(Phase.SEEN, stage.state.session.phase)
        assertTrue("yes" in stage.texts().lines())
        stage.ask("And?")
        assertEquals(2, stage.state.session.turns.size)
    }

    @Test
    fun aConversationSurvivesTheEndOfTheProcess() {
        stage.seen()
        stage.ask("What is this?")
        val before = stage.state.picture
        stage.dieAndComeBack()
        assertEquals(listOf("What is this?" to "yes"), stage.state.session.turns.map { it.question to it.answer })
        assertTrue("yes" in stage.texts().lines())
        assertTrue(before!!.sameAs(stage.state.picture))
        stage.ask("And now?")
        assertEquals(2, stage.state.session.turns.size)
    }

    @Test
    fun withoutAPictureNothingIsRestored() {
        stage.seen()
        stage.touch(R.string.new_picture)
        stage.dieAndComeBack()
        assertNull(stage.state.picture)
        assertTrue(stage.state.session.turns.isEmpty())
        assertEquals(CameraState.OPEN, stage.state.camera)
    }

    @Test
    fun aCrashInTheEngineIsToldAndNothingIsLoadedUnasked() {
        Settings(stage.app).isEngineBusy = true
        stage.aiming()
        assertTrue(stage.isSeen(R.string.problem_crash))
        assertTrue(stage.parts.fakes.isEmpty())
        stage.touch(R.string.try_again)
        assertEquals(1, stage.parts.fakes.size)
        assertFalse(stage.isSeen(R.string.problem_crash))
    }

    @Test
    fun afterACrashTheModelsCanBeReached() {
        Settings(stage.app).isEngineBusy = true
        stage.aiming()
        stage.touch(R.string.menu_models)
        assertEquals(Screen.BUNDLES, stage.state.screen)
        stage.touch(R.string.back)
        assertTrue(stage.isSeen(R.string.problem_crash))
        assertTrue(stage.parts.fakes.isEmpty())
    }

    @Test
    fun theEngineIsMarkedBusyOnlyWhileItRuns() {
        val busy = HashMap<String, Boolean>()
        stage.parts.prepare = { engine ->
            busy["open"] = stage.parts.settings.isEngineBusy
            engine.meanwhile = { busy[it] = stage.parts.settings.isEngineBusy }
        }
        stage.seen()
        stage.ask("What is this?")
        for (call in listOf("open", "prefillText", "prefillImage", "generate")) assertEquals(call, true, busy[call])
        assertFalse(stage.parts.settings.isEngineBusy)
    }

    @Test
    fun tooLittleMemoryIsRefusedReadablyAndTriedAgain() {
        stage.giveMemory(Scenes.MEMORY / 2)
        stage.aiming()
        val size = android.text.format.Formatter.formatShortFileSize(stage.app, Scenes.MEMORY)
        val free = android.text.format.Formatter.formatShortFileSize(stage.app, Scenes.MEMORY / 2)
        assertTrue(size != free)
        assertTrue(stage.texts(), stage.isSeen(R.string.problem_memory_detail, size, free))
        assertTrue(stage.parts.fakes.isEmpty())
        stage.giveMemory(4L shl 30)
        stage.touch(R.string.try_again)
        assertEquals(1, stage.parts.fakes.size)
        assertFalse(stage.isSeen(R.string.problem_memory))
        assertFalse(stage.isSeen(R.string.problem_memory_tight))
    }

    @Test
    fun aTightFitIsLoadedWithAWarning() {
        stage.giveMemory(Scenes.MEMORY * 11 / 10)
        stage.seen()
        assertTrue(stage.isSeen(R.string.problem_memory_tight))
        stage.ask("What is this?")
        assertEquals("yes", stage.state.session.turns.single().answer)
    }

    @Test
    fun aDamagedBundleIsRefusedBeforeItIsLoaded() {
        stage.allowCamera()
        stage.push()
        stage.folder("demo.mvlm/model.pte").appendText("more")
        stage.start()
        assertTrue(stage.isSeen(R.string.problem_bundle))
        assertTrue(stage.texts(), "demo.mvlm/model.pte: got 20004 bytes, expected 20000" in stage.texts().lines())
        assertTrue(stage.parts.fakes.isEmpty())
        stage.touch(R.string.menu_models)
        assertEquals(Screen.BUNDLES, stage.state.screen)
    }

    @Test
    fun nothingOfQuestionsOrPicturesIsLogged() {
        stage.seen()
        stage.ask("What is my secret?")
        val logged = org.robolectric.shadows.ShadowLog.getLogs().filter { "secret" in "${it.msg}" }
        assertEquals(emptyList<Any>(), logged)
        val kept = stage.app.dataDir.walk().filter { it.isFile && "secret" in it.readText(Charsets.ISO_8859_1) }.toList()
        assertEquals(emptyList<Any>(), kept)
    }
}
