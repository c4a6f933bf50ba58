package org.mobilevlmkit.app

import android.media.AudioManager
import android.os.Looper
import android.view.accessibility.AccessibilityManager
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAudioTrack
import org.robolectric.shadows.ShadowSystemClock
import java.time.Duration

/** Short sounds for people who can't see the screen. */
class SoundsTest : AppTestCase() {
    private val audio get() = shadowOf(driver.app.getSystemService(AudioManager::class.java))
    private val played get() = driver.dependencies.played
    private val written = ArrayList<Int>()

    private fun turnOn() {
        Settings(driver.app).playsSounds = true
    }

    @Test
    fun theShutterAndTheAnswerAreHeard() {
        turnOn()
        driver.seen()
        assertEquals(listOf(Earcon.SHUTTER), played)
        driver.engine.meanwhile = { if (it == "piece 0") driver.idle() }
        driver.ask("What is this?")
        assertEquals(listOf(Earcon.SHUTTER, Earcon.BEGAN, Earcon.DONE), played)
        driver.engine.meanwhile = { if (it == "piece 0") error("no kernel") }
        played.clear()
        driver.ask("And?")
        assertEquals(Earcon.FAILED, played.last())
        assertEquals(1, played.count { it == Earcon.FAILED })
    }

    @Test
    fun whatTheUserStopsOrRestoresIsSilent() {
        turnOn()
        driver.seen()
        driver.engine.answers = { List(50) { "▁red" } }
        driver.engine.meanwhile = { if (it == "piece 3") model.stop() }
        driver.ask("What is this?")
        played.clear()
        driver.touch(R.string.new_picture)
        driver.touch(R.string.undo_picture_label)
        assertEquals(1, driver.state.session.turns.size)
        assertEquals(emptyList<Earcon>(), played)
    }

    /** Screen readers read its answers out. */
    @Test
    fun liveModeIsSilentUntilItFails() {
        turnOn()
        driver.aiming()
        model.startLive("What is this?")
        driver.dependencies.settle()
        driver.camera.frame()
        driver.dependencies.settle()
        assertEquals("yes", driver.state.live?.answer)
        assertEquals(emptyList<Earcon>(), played)
        driver.engine.meanwhile = { if (it == "prefillImage") error("no kernel") }
        ShadowSystemClock.advanceBy(Duration.ofSeconds(5))
        driver.camera.frame(80)
        driver.dependencies.settle()
        assertEquals(listOf(Earcon.FAILED), played)
    }

    @Test
    fun theyAreOffUnlessAScreenReaderIsOn() {
        driver.seen()
        assertEquals(emptyList<Earcon>(), played)
        assertFalse(Settings(driver.app).playsSounds)
        shadowOf(driver.app.getSystemService(AccessibilityManager::class.java)).setTouchExplorationEnabled(true)
        assertTrue(Settings(driver.app).playsSounds)
    }

    @Test
    fun theyAreTurnedOnInTheSettings() {
        driver.aiming()
        model.go(Screen.SETTINGS)
        driver.dependencies.settle()
        driver.touch(R.string.sounds)
        assertTrue(Settings(driver.app).playsSounds)
    }

    @Test
    fun eachIsShortAndBeginsAndEndsSoftly() {
        for (earcon in Earcon.values()) {
            val samples = earcon.samples()
            assertEquals(earcon.ms.toDouble(), samples.size * 1000.0 / Earcon.RATE, 1.0)
            assertTrue("$earcon", earcon.ms in 50..300)
            assertTrue("$earcon", samples.maxOf { Math.abs(it.toInt()) } in 8_000..16_000)
            val steps = samples.asList().zipWithNext { one, next -> Math.abs(one - next) }
            assertTrue("$earcon clicks", steps.max() < 4_000 && Math.abs(samples.first().toInt()) + Math.abs(samples.last().toInt()) < 500)
        }
        assertEquals(Earcon.values().size, Earcon.values().map { it.samples().toList() }.toSet().size)
    }

    private fun play() {
        ShadowAudioTrack.addAudioDataListener { _, data, _ -> written.add(data.size) }
        Sounds(driver.app).play(Earcon.DONE)
    }

    @Test
    fun otherAppsPlayMoreSoftlyForAMoment() {
        play()
        assertEquals(Earcon.DONE.samples().size * 2, written.sum())
        val asked = audio.lastAudioFocusRequest
        assertEquals(AudioManager.AUDIOFOCUS_GAIN_TRANSIENT_MAY_DUCK, asked.durationHint)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals(asked.audioFocusRequest, audio.lastAbandonedAudioFocusRequest)
    }

    @Test
    fun aCallIsNotDisturbed() {
        audio.setNextFocusRequestResponse(AudioManager.AUDIOFOCUS_REQUEST_FAILED)
        play()
        assertEquals(0, written.sum())
    }
}
