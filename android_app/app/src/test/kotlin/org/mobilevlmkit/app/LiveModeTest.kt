package org.mobilevlmkit.app

import android.content.Intent
import android.os.PowerManager
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.view.WindowManager
import android.widget.EditText
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowSystemClock
import java.time.Duration

/** Live mode: one question, answered about the newest frame. */
class LiveModeTest : AppTestCase() {
    private val power get() = shadowOf(driver.app.getSystemService(PowerManager::class.java))

    private fun begin(question: String = "What is this?") {
        driver.aiming()
        driver.touch(R.string.live_label)
        field().setText(question)
        driver.touch(R.string.live_start)
    }

    private fun field(): EditText = driver.activity.findViewById(R.id.live_question)

    private fun frame(edge: Int?) {
        driver.camera.frame(edge)
        driver.dependencies.settle()
    }

    private fun later(seconds: Long) {
        ShadowSystemClock.advanceBy(Duration.ofSeconds(seconds))
        driver.dependencies.settle()
    }

    @Test
    fun itAnswersTheNewestSceneAndShowsItsAge() {
        begin("Describe the image.")
        assertTrue(driver.isSeen(R.string.live_waiting))
        driver.engine.answers = Scenery::answer
        frame(null)
        assertTrue(driver.state.live!!.answer.startsWith("A red circle"))
        assertTrue(driver.isSeen(R.string.live_age, 0))
        later(3)
        assertTrue(driver.texts(), driver.isSeen(R.string.live_age, 3))
        driver.engine.answers = { listOf("▁a", "▁wall", "</s>") }
        frame(80)
        assertEquals("a wall", driver.state.live!!.answer)
        assertTrue(driver.isSeen(R.string.live_age, 0))
        assertEquals(2, driver.engine.pictures)
    }

    @Test
    fun aStillSceneIsDescribedOnce() {
        begin()
        frame(80)
        later(5)
        frame(80)
        assertEquals(1, driver.engine.pictures)
    }

    @Test
    fun itsQuestionIsSaved() {
        begin("Is there a dog?")
        driver.touch(R.string.live_end)
        assertNull(driver.state.live)
        driver.app.die()
        driver.start()
        assertFalse(driver.state.isLiveMode)
        driver.touch(R.string.live_label)
        assertEquals("Is there a dog?", "${field().text}")
    }

    @Test
    fun aBlankQuestionDoesNotBegin() {
        begin(" ")
        assertNull(driver.state.live)
    }

    @Test
    fun theScreenStaysOnUntilItEnds() {
        begin()
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        assertEquals(flag, driver.activity.window.attributes.flags and flag)
        assertNull(driver.find(driver.string(R.string.shutter)))
        driver.touch(R.string.live_end)
        assertEquals(0, driver.activity.window.attributes.flags and flag)
        assertNull(driver.state.live)
        val before = driver.engine.pictures
        frame(20)
        assertEquals(before, driver.engine.pictures)
        driver.touch(R.string.pick_photo)
        driver.take()
        assertTrue(driver.state.picture != null)
    }

    @Test
    fun endingStopsTheAnswer() {
        begin()
        var pieces = 0
        driver.engine.answers = { List(50) { "▁red" } }
        driver.engine.meanwhile = {
            if (it.startsWith("piece")) pieces++
            if (it == "piece 3") {
                driver.idle()
                driver.press(driver.string(R.string.live_end))
            }
        }
        frame(80)
        assertTrue("$pieces", pieces <= 5)
    }

    @Test
    fun aHotPhonePausesUntilItHasCooled() {
        begin()
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
        frame(80)
        assertEquals(0, driver.engine.pictures)
        assertTrue(driver.isSeen(R.string.live_resting))
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_NONE)
        later(9)
        frame(80)
        assertEquals("yes", driver.state.live?.answer)
        assertFalse(driver.isSeen(R.string.live_resting))
    }

    @Test
    fun aWarmPhoneAndBatterySaverWaitLonger() {
        begin()
        frame(80)
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_MODERATE)
        later(2)
        frame(20)
        assertEquals(1, driver.engine.pictures)
        later(5)
        frame(20)
        assertEquals(2, driver.engine.pictures)
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_NONE)
        power.setIsPowerSaveMode(true)
        later(6)
        frame(140)
        assertEquals(2, driver.engine.pictures)
        later(4)
        frame(140)
        assertEquals(3, driver.engine.pictures)
    }

    @Test
    fun itEndsWhenTheAppIsLeft() {
        begin()
        frame(80)
        driver.leave()
        assertNull(driver.state.live)
        assertNull(driver.camera.onFrame)
        driver.comeBack()
        assertTrue(driver.find(driver.string(R.string.live_label)) != null)
    }

    @Test
    fun itEndsWhenAnotherScreenIsOpened() {
        begin()
        model.go(Screen.SETTINGS)
        driver.dependencies.settle()
        assertNull(driver.state.live)
    }

    @Test
    fun rotationKeepsIt() {
        begin()
        frame(80)
        driver.change("w720dp-h360dp-land-hdpi")
        driver.dependencies.settle()
        assertTrue("yes" in driver.texts().lines())
        frame(20)
        assertEquals(1, driver.engine.pictures) // too early
        later(2)
        frame(20)
        assertEquals(2, driver.engine.pictures)
    }

    @Test
    fun theAppOpensInItIfTheUserWants() {
        Settings(driver.app).opensLive = true
        Settings(driver.app).liveQuestion = "What is this?"
        driver.aiming()
        assertTrue(driver.isSeen(R.string.live_waiting))
        frame(80)
        assertEquals("yes", driver.state.live?.answer)
        driver.touch(R.string.live_end)
        driver.leave()
        driver.comeBack()
        assertNull(driver.state.live) // once
    }

    @Test
    fun theAppReturnsToItIfItOpensInIt() {
        Settings(driver.app).opensLive = true
        driver.aiming()
        driver.leave()
        assertNull(driver.state.live)
        driver.comeBack()
        assertTrue(driver.state.live != null)
    }

    /** A word that is set while the region is live is read out. */
    @Test
    fun onlyWholeAnswersAreReadOut() {
        begin()
        frame(80)
        val answer = driver.views().filterIsInstance<TextView>().single { "${it.text}" == "yes" }
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, answer.accessibilityLiveRegion)
        val read = ArrayList<String>()
        answer.addTextChangedListener(
            object : TextWatcher {
                override fun afterTextChanged(text: Editable) {
                    if (answer.accessibilityLiveRegion != View.ACCESSIBILITY_LIVE_REGION_NONE) read.add("$text")
                }
                override fun beforeTextChanged(text: CharSequence, start: Int, count: Int, after: Int) = Unit
                override fun onTextChanged(text: CharSequence, start: Int, before: Int, count: Int) = Unit
            },
        )
        driver.engine.answers = { listOf("▁a", "▁white", "▁wall", "</s>") }
        driver.engine.meanwhile = { driver.idle() }
        later(2)
        frame(20)
        assertEquals("a white wall", "${answer.text}")
        assertTrue("$read", read.all { it == "a white wall" })
    }

    @Test
    fun theShortcutBeginsIt() {
        driver.seen()
        driver.controller.newIntent(Intent(MainActivity.LIVE))
        driver.dependencies.settle()
        assertTrue(driver.state.live != null)
        assertNull(driver.state.picture)
    }

    @Test
    fun theQuestionForPeopleWhoCannotSeeIsTakenFromTheSettings() {
        driver.aiming()
        model.go(Screen.SETTINGS)
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.hazard_limits))
        driver.touch(R.string.settings_guide_use)
        assertEquals(driver.string(R.string.settings_guide_question), driver.state.live?.question)
    }
}
