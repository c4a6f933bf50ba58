package org.mobilevlmkit.app

import android.os.PowerManager
import android.view.WindowManager
import android.widget.EditText
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowSystemClock
import java.time.Duration

/** Live mode: one question, answered about the newest frame. */
class LiveModeTest : OnStage() {
    private val power get() = shadowOf(stage.app.getSystemService(PowerManager::class.java))

    private fun begin(question: String = "What is this?") {
        stage.aiming()
        stage.touch(R.string.live_label)
        stage.views().filterIsInstance<EditText>().first().setText(question)
        stage.touch(R.string.live_start)
    }

    private fun frame(edge: Int?) {
        stage.camera.frame(edge)
        stage.parts.settle()
    }

    private fun later(seconds: Long) {
        ShadowSystemClock.advanceBy(Duration.ofSeconds(seconds))
        stage.parts.settle()
    }

    @Test
    fun itAnswersTheNewestSceneAndSaysHowOldItIs() {
        begin("Describe the image.")
        assertTrue(stage.isSeen(R.string.live_waiting))
        stage.engine.answers = Scenery::answer
        frame(null)
        assertTrue(stage.state.live!!.answer.startsWith("A red circle"))
        assertTrue(stage.isSeen(R.string.live_age, 0))
        later(3)
        assertTrue(stage.texts(), stage.isSeen(R.string.live_age, 3))
        stage.engine.answers = { listOf("▁a", "▁wall", "</s>") }
        frame(80)
        assertEquals("a wall", stage.state.live!!.answer)
        assertTrue(stage.isSeen(R.string.live_age, 0))
        assertEquals(2, stage.engine.pictures)
    }

    @Test
    fun aStillSceneIsDescribedOnce() {
        begin()
        frame(80)
        later(5)
        frame(80)
        assertEquals(1, stage.engine.pictures)
    }

    @Test
    fun itsQuestionIsKeptForTheNextTime() {
        begin("Is there a dog?")
        stage.touch(R.string.live_end)
        stage.touch(R.string.live_label)
        assertEquals("Is there a dog?", "${stage.views().filterIsInstance<EditText>().first().text}")
        stage.touch(R.string.cancel)
        assertNull(stage.state.live)
    }

    @Test
    fun aBlankQuestionDoesNotBegin() {
        begin(" ")
        assertNull(stage.state.live)
    }

    @Test
    fun theScreenStaysOnUntilItEnds() {
        begin()
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        assertEquals(flag, stage.activity.window.attributes.flags and flag)
        assertNull(stage.find(stage.string(R.string.ask)))
        stage.touch(R.string.live_end)
        assertEquals(0, stage.activity.window.attributes.flags and flag)
        assertNull(stage.state.live)
        val before = stage.engine.pictures
        frame(20)
        assertEquals(before, stage.engine.pictures)
        stage.take()
        assertTrue(stage.state.picture != null)
    }

    @Test
    fun endingStopsTheAnswer() {
        begin()
        var pieces = 0
        stage.engine.answers = { List(50) { "▁red" } }
        stage.engine.meanwhile = {
            if (it.startsWith("piece")) pieces++
            if (it == "piece 3") {
                stage.idle()
                stage.press(stage.string(R.string.live_end))
            }
        }
        frame(80)
        assertTrue("$pieces", pieces <= 5)
    }

    @Test
    fun aHotPhoneRestsAndGoesOnWhenItHasCooled() {
        begin()
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
        frame(80)
        assertEquals(0, stage.engine.pictures)
        assertTrue(stage.isSeen(R.string.live_resting))
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_NONE)
        later(9)
        frame(80)
        assertEquals("yes", stage.state.live?.answer)
        assertFalse(stage.isSeen(R.string.live_resting))
    }

    @Test
    fun aWarmPhoneAndABatterySaverRestLonger() {
        begin()
        frame(80)
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_MODERATE)
        later(2)
        frame(20)
        assertEquals(1, stage.engine.pictures)
        later(5)
        frame(20)
        assertEquals(2, stage.engine.pictures)
        power.setCurrentThermalStatus(PowerManager.THERMAL_STATUS_NONE)
        power.setIsPowerSaveMode(true)
        later(6)
        frame(140)
        assertEquals(2, stage.engine.pictures)
        later(4)
        frame(140)
        assertEquals(3, stage.engine.pictures)
    }

    @Test
    fun itEndsWhenTheAppIsLeft() {
        begin()
        frame(80)
        stage.leave()
        assertNull(stage.state.live)
        assertNull(stage.camera.onFrame)
        stage.comeBack()
        assertTrue(stage.find(stage.string(R.string.live_label)) != null)
    }

    @Test
    fun itEndsWhenAnotherScreenIsOpened() {
        begin()
        model.go(Screen.SETTINGS)
        stage.parts.settle()
        assertNull(stage.state.live)
    }

    @Test
    fun turningThePhoneKeepsIt() {
        begin()
        frame(80)
        stage.change("w720dp-h360dp-land-hdpi")
        stage.parts.settle()
        assertTrue("yes" in stage.texts().lines())
        frame(20)
        assertEquals(1, stage.engine.pictures) // too early
        later(2)
        frame(20)
        assertEquals(2, stage.engine.pictures)
    }
}
