package org.mobilevlmkit.app

import android.widget.EditText
import android.widget.Switch
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

/** What the user can set, and that it is kept. */
class SettingsScreenTest : OnStage() {
    private fun open() {
        model.go(Screen.SETTINGS)
        stage.parts.settle()
    }

    private val presets get() = stage.activity.findViewById<EditText>(R.id.presets)

    private fun labels() = stage.views().filterIsInstance<TextView>().map { "${it.text}" }

    @Test
    fun presetsAreEditedKeptAndBroughtBack() {
        stage.seen()
        val defaults = stage.state.presets
        open()
        assertEquals(defaults.joinToString("\n"), "${presets.text}")
        presets.setText(" Is it safe?\n\n你好吗？  \n")
        stage.touch(R.string.settings_save)
        assertEquals(Screen.CHAT, stage.state.screen)
        assertEquals(listOf("Is it safe?", "你好吗？"), stage.state.presets)
        assertTrue("Is it safe?" in labels())
        assertFalse(defaults.first() in labels())
        stage.touch("Is it safe?")
        assertEquals("Is it safe?", stage.state.session.turns.single().question)
        stage.dieAndComeBack()
        assertTrue("Is it safe?" in labels())
        open()
        stage.touch(R.string.settings_reset)
        assertEquals(defaults.joinToString("\n"), "${presets.text}")
        assertEquals(defaults, stage.state.presets)
        assertEquals(defaults, Settings(stage.app).presets)
    }

    @Test
    fun leavingWithoutSavingKeepsThePresets() {
        stage.aiming()
        val before = stage.state.presets
        open()
        presets.setText("Else?")
        stage.touch(R.string.back)
        assertEquals(before, stage.state.presets)
    }

    @Test
    fun whatIsTypedSurvivesTurningThePhone() {
        stage.aiming()
        open()
        presets.setText("Half a quest")
        stage.change("w720dp-h360dp-land-hdpi")
        assertEquals("Half a quest", "${presets.text}")
    }

    @Test
    fun theStatsLineIsHiddenAndStaysSo() {
        stage.seen()
        stage.ask("What is this?")
        val stats = stage.string(R.string.stats_first, stage.state.session.turns.single().stats!!.firstTokenS)
        assertTrue(stats in stage.texts())
        open()
        val switch = stage.views().filterIsInstance<Switch>().single()
        assertTrue(switch.isChecked)
        switch.performClick()
        stage.touch(R.string.back)
        assertFalse(stats in stage.texts())
        stage.dieAndComeBack()
        open()
        assertFalse(stage.views().filterIsInstance<Switch>().single().isChecked)
    }
}
