package org.mobilevlmkit.app

import android.widget.EditText
import android.widget.Switch
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

/** Settings are applied and saved. */
class SettingsScreenTest : AppTestCase() {
    private fun open() {
        model.go(Screen.SETTINGS)
        driver.dependencies.settle()
    }

    private val presets get() = driver.activity.findViewById<EditText>(R.id.presets)

    private fun labels() = driver.views().filterIsInstance<TextView>().map { "${it.text}" }

    @Test
    fun presetsAreEditedSavedAndReset() {
        driver.seen()
        val defaults = driver.state.presets
        open()
        assertEquals(defaults.joinToString("\n"), "${presets.text}")
        presets.setText(" Is it safe?\n\n你好吗？  \n")
        driver.touch(R.string.settings_save)
        assertEquals(Screen.CHAT, driver.state.screen)
        assertEquals(listOf("Is it safe?", "你好吗？"), driver.state.presets)
        assertTrue("Is it safe?" in labels())
        assertFalse(defaults.first() in labels())
        driver.touch("Is it safe?")
        assertEquals("Is it safe?", driver.state.session.turns.single().question)
        driver.dieAndComeBack()
        assertTrue("Is it safe?" in labels())
        open()
        driver.touch(R.string.settings_reset)
        assertEquals(defaults.joinToString("\n"), "${presets.text}")
        assertEquals(defaults, driver.state.presets)
        assertEquals(defaults, Settings(driver.app).presets)
    }

    @Test
    fun leavingWithoutSavingKeepsThePresets() {
        driver.aiming()
        val before = driver.state.presets
        open()
        presets.setText("Else?")
        driver.touch(R.string.back)
        assertEquals(before, driver.state.presets)
    }

    @Test
    fun typedTextSurvivesRotation() {
        driver.aiming()
        open()
        presets.setText("Half a quest")
        driver.change("w720dp-h360dp-land-hdpi")
        assertEquals("Half a quest", "${presets.text}")
    }

    private val details get() = driver.views().filterIsInstance<Switch>().single { "${it.text}" == driver.string(R.string.show_details) }

    @Test
    fun detailsAreOpenedAndStaySo() {
        driver.seen()
        driver.ask("What is this?")
        val stats = driver.string(R.string.stats_first, driver.state.session.turns.single().stats!!.firstTokenS)
        assertFalse(stats in driver.texts())
        open()
        assertFalse(details.isChecked)
        details.performClick()
        driver.touch(R.string.back)
        assertTrue(stats in driver.texts())
        driver.dieAndComeBack()
        open()
        assertTrue(details.isChecked)
    }
}
