package org.mobilevlmkit.app

import android.content.ComponentCallbacks2
import android.graphics.Insets
import android.graphics.Rect
import android.os.Looper
import android.view.ViewGroup
import android.view.WindowInsets
import android.view.WindowInsetsController
import android.widget.ScrollView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.robolectric.Shadows.shadowOf
import java.time.Duration

/** What the system does to the app: rotation, background, low memory, process death. */
class LifecycleTest : AppTestCase() {
    private val landscape = "w720dp-h360dp-land-hdpi"

    @Test
    fun rotationKeepsModelPictureAnswerAndDraft() {
        driver.seen()
        driver.ask("What is this?")
        driver.field().text = "And why"
        driver.change(landscape)
        driver.dependencies.settle()
        assertTrue(driver.texts(), "yes" in driver.texts().lines())
        assertEquals("And why", "${driver.field().text}")
        assertEquals(1, driver.dependencies.fakes.size)
        assertTrue(driver.state.picture != null)
    }

    @Test
    fun rotationDuringAnAnswerDoesNotStopIt() {
        driver.seen()
        driver.engine.answers = Scenery::answer
        driver.engine.meanwhile = {
            if (it == "piece 5") {
                driver.change(landscape)
                assertTrue(driver.texts(), "A red circle in the" in driver.texts())
                assertTrue(driver.find(driver.string(R.string.stop)) != null)
            }
        }
        driver.ask("Describe the image.")
        assertTrue(driver.texts(), "a yellow word MAP at the bottom right." in driver.texts())
        assertEquals(Ended.COMPLETE, driver.state.session.turns.single().ended)
    }

    @Test
    fun leavingTheAppStopsTheAnswerAndReturningContinues() {
        driver.seen()
        driver.engine.answers = { List(50) { "▁red" } }
        driver.engine.meanwhile = {
            if (it == "piece 3") {
                driver.engine.meanwhile = {}
                driver.controller.pause().stop()
            }
        }
        driver.ask("What is this?")
        assertEquals(Ended.STOPPED, driver.state.session.turns.single().ended)
        driver.comeBack()
        driver.engine.answers = { listOf("▁yes", "</s>") }
        driver.ask("And?")
        assertEquals("yes", driver.state.session.turns.last().answer)
    }

    @Test
    fun memoryIsFreedInTheBackgroundAndTheConversationRestored() {
        driver.seen()
        driver.ask("What is this?")
        driver.activity.onTrimMemory(15) // TRIM_MEMORY_RUNNING_CRITICAL of older systems
        driver.dependencies.settle()
        assertFalse(driver.engine.isClosed) // it is visible
        driver.leave()
        assertFalse(driver.engine.isClosed)
        driver.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
        driver.dependencies.settle()
        assertTrue(driver.engine.isClosed)
        assertEquals(Phase.SUSPENDED, driver.state.session.phase)
        driver.comeBack()
        assertEquals(2, driver.dependencies.fakes.size)
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        assertTrue("yes" in driver.texts().lines())
        driver.ask("And?")
        assertEquals(2, driver.state.session.turns.size)
    }

    /** Home, the lock button and full-screen pickers send UI_HIDDEN each time. */
    @Test
    fun leavingForAMomentKeepsTheModel() {
        driver.seen()
        driver.leave()
        driver.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_UI_HIDDEN)
        driver.dependencies.settle()
        later(50)
        assertFalse(driver.engine.isClosed)
        driver.comeBack()
        later(50)
        assertFalse(driver.engine.isClosed)
        assertEquals(1, driver.dependencies.fakes.size)
    }

    @Test
    fun aModelThatIsNotSeenForAMinuteIsFreed() {
        driver.seen()
        driver.leave()
        later(61)
        assertTrue(driver.engine.isClosed)
        driver.comeBack()
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
    }

    private fun later(seconds: Long) {
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(seconds))
        driver.dependencies.settle()
    }

    /** The user swipes the app away, or the system ends it, while a model loads in the background. */
    @Test
    fun theEndInTheBackgroundIsNoCrash() {
        val busy = ArrayList<Boolean>()
        fun note() = busy.add(driver.dependencies.settings.isEngineBusy)
        driver.dependencies.prepare = {
            note()
            driver.controller.pause().stop()
            note()
            driver.controller.restart().start()
            note()
            driver.controller.stop()
            note()
        }
        driver.aiming()
        note()
        assertEquals(listOf(true, false, true, false, false), busy)
    }

    /** Every screen is drawn below the system's bars and the keyboard, and moves out of their way. */
    @Test
    fun nothingIsUnderTheBarsOrTheKeyboard() {
        driver.start()
        val window = driver.activity.window.decorView
        val covered = Insets.of(0, 40, 0, 300)
        window.dispatchApplyWindowInsets(WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), covered).build())
        driver.layOut(window)
        val page = driver.views().filterIsInstance<ScrollView>().first()
        assertEquals(40 to 300, page.paddingTop to page.paddingBottom)
        driver.push()
        driver.touch(R.string.look_again)
        window.dispatchApplyWindowInsets(WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), covered).build())
        driver.layOut(window)
        val pick = driver.find(driver.string(R.string.pick_photo_label))!!
        val place = Rect(0, 0, pick.width, pick.height)
        (window as ViewGroup).offsetDescendantRectToMyCoords(pick, place)
        assertTrue("$place", place.bottom <= window.height - 300)
    }

    /** By day, white icons can be seen over an image only, and dark ones over the background. */
    @Test
    fun theIconsOfTheBarsCanBeSeen() {
        fun light(): Pair<Boolean, Boolean> {
            val shown = checkNotNull(driver.activity.window.insetsController).systemBarsAppearance
            return (shown and WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS != 0) to
                (shown and WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS != 0)
        }
        driver.aiming()
        assertEquals(false to false, light())
        driver.take()
        assertEquals(false to true, light()) // the picture is above
        driver.change(landscape)
        assertEquals(true to true, light())
        driver.touch(R.string.enlarge)
        assertEquals(false to false, light())
        model.go(Screen.SETTINGS)
        driver.idle()
        assertEquals(true to true, light())
        driver.change("night")
        assertEquals(false to false, light())
    }

    /** In a wide conversation, a bar is over the picture and the text. */
    @Test
    fun aWideConversationIsBetweenTheBars() {
        driver.seen()
        driver.change(landscape)
        val window = driver.activity.window.decorView
        val covered = Insets.of(0, 40, 60, 0)
        window.dispatchApplyWindowInsets(WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), covered).build())
        driver.layOut(window)
        val enlarge = checkNotNull(driver.find(driver.string(R.string.enlarge)))
        val place = Rect(0, 0, enlarge.width, enlarge.height)
        (window as ViewGroup).offsetDescendantRectToMyCoords(enlarge, place)
        assertEquals(40, place.top)
    }

    @Test
    fun aBundleIsHashedAtItsFirstLoadOnly() {
        driver.aiming()
        fun load(): String {
            driver.leave()
            driver.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
            driver.dependencies.settle()
            driver.controller.restart().start().resume()
            driver.idle()
            assertTrue(driver.isSeen(R.string.phase_checking))
            var shown = ""
            driver.dependencies.prepare = {
                driver.idle()
                shown = driver.texts()
            }
            driver.dependencies.settle()
            return shown
        }
        val program = driver.folder("demo.mvlm/model.pte")
        val time = program.lastModified()
        program.writeBytes(program.readBytes().also { it[3]++ })
        program.setLastModified(time)
        assertTrue(driver.string(R.string.phase_preparing) in load())
        program.setLastModified(time + 2000)
        load()
        assertTrue(driver.isSeen(R.string.problem_bundle))
    }

    @Test
    fun aConversationSurvivesTheEndOfTheProcess() {
        driver.seen()
        driver.ask("What is this?")
        val before = driver.state.picture
        driver.dieAndComeBack()
        assertEquals(listOf("What is this?" to "yes"), driver.state.session.turns.map { it.question to it.answer })
        assertTrue("yes" in driver.texts().lines())
        assertTrue(before!!.sameAs(driver.state.picture))
        driver.ask("And now?")
        assertEquals(2, driver.state.session.turns.size)
    }

    @Test
    fun withoutAPictureNothingIsRestored() {
        driver.seen()
        driver.touch(R.string.new_picture)
        driver.dieAndComeBack()
        assertNull(driver.state.picture)
        assertTrue(driver.state.session.turns.isEmpty())
        assertEquals(CameraState.OPEN, driver.state.camera)
    }

    @Test
    fun anEngineCrashIsReportedAndNothingIsLoadedAutomatically() {
        Settings(driver.app).isEngineBusy = true
        driver.aiming()
        assertTrue(driver.isSeen(R.string.problem_crash))
        assertTrue(driver.dependencies.fakes.isEmpty())
        driver.touch(R.string.try_again)
        assertEquals(1, driver.dependencies.fakes.size)
        assertFalse(driver.isSeen(R.string.problem_crash))
    }

    @Test
    fun afterACrashTheModelsCanBeReached() {
        Settings(driver.app).isEngineBusy = true
        driver.aiming()
        driver.touch(R.string.menu_models)
        assertEquals(Screen.BUNDLES, driver.state.screen)
        driver.touch(R.string.back)
        assertTrue(driver.isSeen(R.string.problem_crash))
        assertTrue(driver.dependencies.fakes.isEmpty())
    }

    @Test
    fun theEngineIsMarkedBusyOnlyWhileItRuns() {
        val busy = HashMap<String, Boolean>()
        driver.dependencies.prepare = { engine ->
            busy["open"] = driver.dependencies.settings.isEngineBusy
            engine.meanwhile = { busy[it] = driver.dependencies.settings.isEngineBusy }
        }
        driver.seen()
        driver.ask("What is this?")
        for (call in listOf("open", "prefillText", "prefillImage", "generate")) assertEquals(call, true, busy[call])
        assertFalse(driver.dependencies.settings.isEngineBusy)
    }

    @Test
    fun tooLittleMemoryIsReportedAndCanBeRetried() {
        driver.giveMemory(ScreenStates.MEMORY / 2)
        driver.aiming()
        val size = android.text.format.Formatter.formatShortFileSize(driver.app, ScreenStates.MEMORY)
        val free = android.text.format.Formatter.formatShortFileSize(driver.app, ScreenStates.MEMORY / 2)
        assertTrue(size != free)
        assertTrue(driver.texts(), driver.isSeen(R.string.problem_memory_detail, size, free))
        assertTrue(driver.dependencies.fakes.isEmpty())
        driver.giveMemory(4L shl 30)
        driver.touch(R.string.try_again)
        assertEquals(1, driver.dependencies.fakes.size)
        assertFalse(driver.isSeen(R.string.problem_memory))
        assertFalse(driver.isSeen(R.string.problem_memory_tight))
    }

    @Test
    fun aModelIsLoadedAnywayOnRequest() {
        driver.giveMemory(ScreenStates.MEMORY / 2)
        driver.aiming()
        assertTrue(driver.texts(), driver.string(R.string.load_anyway_detail) in driver.texts())
        driver.touch(R.string.load_anyway)
        assertEquals(1, driver.dependencies.fakes.size)
        assertTrue(driver.isSeen(R.string.problem_memory_tight))
        driver.leave()
        driver.activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
        driver.dependencies.settle()
        driver.comeBack()
        assertEquals(2, driver.dependencies.fakes.size)
    }

    @Test
    fun aTightFitIsLoadedWithAWarning() {
        driver.giveMemory(ScreenStates.MEMORY * 11 / 10)
        driver.seen()
        assertTrue(driver.isSeen(R.string.problem_memory_tight))
        driver.ask("What is this?")
        assertEquals("yes", driver.state.session.turns.single().answer)
    }

    @Test
    fun aDamagedBundleIsRefusedBeforeItIsLoaded() {
        driver.allowCamera()
        driver.push()
        driver.folder("demo.mvlm/model.pte").appendText("more")
        driver.start()
        assertTrue(driver.isSeen(R.string.problem_bundle))
        assertTrue(driver.texts(), "demo.mvlm/model.pte: got 20004 bytes, expected 20000" in driver.texts().lines())
        assertTrue(driver.dependencies.fakes.isEmpty())
        driver.touch(R.string.menu_models)
        assertEquals(Screen.BUNDLES, driver.state.screen)
    }

    @Test
    fun questionsAndPicturesAreNotLogged() {
        driver.seen()
        driver.ask("What is my secret?")
        val logged = org.robolectric.shadows.ShadowLog.getLogs().filter { "secret" in "${it.msg}" }
        assertEquals(emptyList<Any>(), logged)
        val kept = driver.app.dataDir.walk().filter { it.isFile && "secret" in it.readText(Charsets.ISO_8859_1) }.toList()
        assertEquals(emptyList<Any>(), kept)
    }
}
