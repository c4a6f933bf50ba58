package org.mobilevlmkit.app

import android.view.MotionEvent
import org.junit.After
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.camera.Viewfinder
import org.mobilevlmkit.core.pixels.FittedPicture

/** Makes the screenshots of docs/images in android_app/build/screenshots, with a photo that was drawn for them and scripted answers. */
class DocsScreenshotsTest : AppTestCase() {
    private val answer = "Two oranges and a lime"

    @Before
    fun photo() {
        Scenery.seen = Scenery.photo
    }

    @After
    fun scene() {
        Scenery.seen = Scenery.file
    }

    private fun draw(name: String, sees: String) {
        assertTrue(driver.texts(), sees in driver.texts())
        driver.screenshot("android-$name")
    }

    private fun aim() {
        driver.allowCamera()
        driver.push("mobilevlm-1.7b.mvlm")
        driver.start()
        driver.camera.viewfinder = Viewfinder(360, 720)
    }

    private fun take() {
        aim()
        driver.take()
        driver.engine.answers = Scenery::answer
    }

    @Test
    fun camera() {
        aim()
        draw("camera", "mobilevlm-1.7b")
    }

    @Test
    fun conversation() {
        take()
        driver.ask("What is this?")
        driver.ask("How much are the oranges?")
        draw("answer", answer)
        driver.change("en-rUS-w360dp-h720dp-port-night-hdpi")
        draw("night", answer)
        driver.change(PHONE, 2f)
        draw("large", answer)
        driver.change("zh-rCN-w360dp-h720dp-port-notnight-hdpi")
        draw("chinese", answer)
        driver.change("en-rUS-sw800dp-w1280dp-h800dp-xlarge-land-notnight-mdpi")
        draw("tablet", answer)
        driver.change("en-rUS-w720dp-h360dp-land-notnight-hdpi")
        draw("landscape", answer)
    }

    @Test
    fun aPart() {
        take()
        driver.touch(R.string.enlarge)
        driver.layOut(driver.activity.window.decorView)
        val view = driver.views().filterIsInstance<PartView>().single()
        val place = FittedPicture(view.width, view.height, driver.state.pictureSize.first, driver.state.pictureSize.second).place
        for ((action, at) in listOf(MotionEvent.ACTION_DOWN to (0.38f to 0.265f), MotionEvent.ACTION_MOVE to (0.95f to 0.5f))) {
            val (x, y) = at
            view.dispatchTouchEvent(MotionEvent.obtain(0, 0, action, place.left + x * place.width, place.top + y * place.height, 0))
        }
        draw("part", driver.string(R.string.ask_part))
        driver.touch(R.string.ask_part)
        driver.ask("Read the text.")
        draw("part-answer", "FRESH ORANGES")
    }

    @Test
    fun liveMode() {
        aim()
        model.startLive("What is this?")
        driver.dependencies.settle()
        driver.engine.answers = Scenery::answer
        driver.camera.frame()
        driver.dependencies.settle()
        draw("live", answer)
    }

    @Test
    fun conversations() {
        Settings(driver.app).keep = Keep.ALL
        take()
        driver.ask("How much are the oranges?")
        driver.dependencies.wall += 86_400_000
        driver.touch(R.string.new_picture)
        driver.take()
        driver.ask("What is this?")
        model.go(Screen.CONVERSATIONS)
        driver.dependencies.settle()
        draw("conversations", "What is this?")
    }

    @Test
    fun settings() {
        aim()
        model.go(Screen.SETTINGS)
        draw("settings", driver.string(R.string.keep_conversations))
    }

    @Test
    fun firstScreen() {
        driver.start()
        draw("welcome", driver.string(R.string.welcome_private))
    }

    @Test
    fun check() {
        Scenery.seen = Scenery.file
        ScreenStates.all.single { it.name == "check found a difference" }.play(driver)
        draw("check", "✗")
    }

    @Test
    fun bundles() {
        driver.push("mobilevlm-3b.mvlm", TestBundle(seed = 2, programBytes = 2_500_000))
        aim()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        draw("bundles", "mobilevlm-3b")
    }
}
