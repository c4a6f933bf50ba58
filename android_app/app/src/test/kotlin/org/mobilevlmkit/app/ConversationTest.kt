package org.mobilevlmkit.app

import android.view.View
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Problem
import org.robolectric.shadows.ShadowPopupMenu

/** Asking about a picture. */
class ConversationTest : AppTestCase() {
    private val answerView get() = driver.views().filterIsInstance<TextView>().last { "${it.text}".startsWith("A red") }

    @Test
    fun theAnswerStreamsAndIsAnnouncedWhenComplete() {
        driver.seen()
        val seen = ArrayList<String>()
        val regions = ArrayList<Int>()
        driver.engine.answers = Scenery::answer
        driver.engine.meanwhile = {
            driver.idle()
            val answer = driver.state.session.turns.lastOrNull()?.answer.orEmpty()
            if (answer.length > 5) {
                assertTrue(driver.texts(), answer in driver.texts())
                seen.add(answer)
                regions.add(answerView.accessibilityLiveRegion)
            }
        }
        driver.ask("Describe the image.")
        assertTrue("$seen", "A red circle in" in seen && "A red circle" in seen)
        assertEquals(setOf(View.ACCESSIBILITY_LIVE_REGION_NONE), regions.toSet())
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, answerView.accessibilityLiveRegion)
        val answer = "A red circle in the center, an orange star at the bottom left and a yellow word MAP at the bottom right."
        assertTrue(answer in driver.texts().lines())
        assertTrue(driver.isSeen(R.string.you, "Describe the image."))
        assertEquals("", "${driver.field().text}")
    }

    @Test
    fun aFollowUpKeepsThePictureAndCanBeUndone() {
        driver.seen()
        driver.ask("What is this?")
        driver.ask("Why?")
        assertEquals(listOf("What is this?", "Why?"), driver.state.session.turns.map { it.question })
        assertEquals(1, driver.engine.pictures)
        assertEquals(1, driver.views().count { it.contentDescription == driver.string(R.string.undo_question_label) })
        driver.touch(R.string.undo_question_label)
        assertEquals(listOf("What is this?"), driver.state.session.turns.map { it.question })
        assertFalse(driver.isSeen(R.string.you, "Why?"))
    }

    @Test
    fun aSuggestedQuestionIsAskedWithOneTap() {
        driver.seen()
        val preset = driver.state.presets.first()
        driver.touch(preset)
        assertEquals(preset, driver.state.session.turns.single().question)
    }

    @Test
    fun nothingIsAskedWithoutAPictureOrText() {
        driver.aiming()
        driver.field().text = "What is this?"
        assertFalse(driver.find(driver.string(R.string.ask))!!.isEnabled)
        driver.take()
        driver.field().text = "  "
        driver.touch(R.string.ask)
        assertTrue(driver.state.session.turns.isEmpty())
    }

    @Test
    fun aQuestionWaitsForThePicture() {
        driver.aiming()
        driver.press(driver.string(R.string.shutter))
        driver.camera.frame()
        driver.idle()
        driver.field().text = "What is this?"
        driver.press(driver.string(R.string.ask))
        driver.idle()
        assertTrue(driver.isSeen(R.string.phase_waiting, "What is this?"))
        driver.dependencies.settle()
        assertEquals("yes", driver.state.session.turns.single().answer)
    }

    @Test
    fun stopEndsTheAnswerAtOnce() {
        driver.seen()
        driver.engine.answers = { List(50) { "▁red" } }
        driver.engine.meanwhile = {
            if (it == "piece 3") {
                driver.idle()
                assertNull(driver.find(driver.string(R.string.ask)))
                driver.press(driver.string(R.string.stop))
            }
        }
        driver.ask("What is this?")
        val turn = driver.state.session.turns.single()
        assertEquals(Ended.STOPPED, turn.ended)
        assertTrue(turn.answer.split(" ").size in 3..5)
        assertTrue(driver.isSeen(R.string.ended_stopped))
        assertTrue(driver.find(driver.string(R.string.ask))!!.isEnabled)
    }

    @Test
    fun theStatsLineShowsTheSpeedAndCanBeHidden() {
        driver.seen()
        driver.engine.answers = Scenery::answer
        driver.ask("Describe the image.")
        val speed = "picture 2.4 s · first word 0.3 s · 12.5 tokens/s"
        assertTrue(driver.texts(), speed in driver.texts().lines())
        val used = driver.string(R.string.stats_context, driver.state.session.usedTokens, 512)
        assertTrue(driver.texts(), used in driver.texts())
        model.setStatsShown(false)
        assertFalse("tokens/s" in driver.texts())
        assertFalse(used in driver.texts())
    }

    @Test
    fun aFullContextOffersANewChatAndKeepsTheQuestion() {
        driver.seen()
        driver.engine.answers = { List(250) { "▁red" } }
        driver.ask("What is this?")
        val long = List(170) { "red" }.joinToString(" ")
        driver.ask(long)
        assertEquals(Problem.ContextFull(long), driver.state.session.problem)
        assertTrue(driver.isSeen(R.string.problem_full_detail))
        assertEquals(long, "${driver.field().text}")
        driver.engine.answers = { listOf("▁yes", "</s>") }
        driver.touch(R.string.problem_full_action)
        assertEquals(listOf(long to "yes"), driver.state.session.turns.map { it.question to it.answer })
        assertFalse(driver.isSeen(R.string.problem_full))
        assertEquals("", "${driver.field().text}")
        assertEquals(2, driver.engine.pictures)
    }

    @Test
    fun aQuestionThatDoesNotFitCanBeShortened() {
        driver.seen()
        val long = List(450) { "red" }.joinToString(" ")
        driver.ask(long)
        assertTrue(driver.isSeen(R.string.problem_full))
        assertEquals(long, "${driver.field().text}")
        driver.field().text = "What is this?"
        driver.touch(R.string.ask)
        assertEquals("yes", driver.state.session.turns.single().answer)
        assertFalse(driver.isSeen(R.string.problem_full))
    }

    @Test
    fun whatIsTypedMeanwhileIsNotOverwritten() {
        driver.seen()
        driver.field().text = List(450) { "red" }.joinToString(" ")
        driver.press(driver.string(R.string.ask))
        driver.field().text = "And"
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.problem_full))
        assertEquals("And", "${driver.field().text}")
    }

    @Test
    fun anEngineFailureIsReportedAndCanBeRetried() {
        driver.dependencies.prepare = { it.meanwhile = { call -> if (call == "prefillImage") error("no kernel\nfor op") } }
        driver.seen()
        assertTrue(driver.isSeen(R.string.problem_engine))
        assertTrue("engine: no kernel" in driver.texts().lines())
        driver.engine.meanwhile = {}
        driver.touch(R.string.try_again)
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        assertFalse(driver.isSeen(R.string.problem_engine))
    }

    @Test
    fun anAnswerThatFailsIsMarked() {
        driver.seen()
        driver.engine.meanwhile = { if (it == "piece 0") error("no kernel") }
        driver.ask("What is this?")
        assertTrue(driver.isSeen(R.string.ended_failed))
        assertTrue("engine: no kernel" in driver.texts())
        assertEquals("", driver.state.session.turns.single().answer)
    }

    private fun choose(item: Int) {
        driver.touch(R.string.menu)
        assertTrue(ShadowPopupMenu.getLatestPopupMenu().menu.performIdentifierAction(item, 0))
        driver.dependencies.settle()
    }

    @Test
    fun theMenuLeadsToEveryOtherScreenAndBack() {
        driver.seen()
        val screens = listOf(
            R.string.menu_models to Screen.BUNDLES,
            R.string.menu_check to Screen.CHECK,
            R.string.menu_settings to Screen.SETTINGS,
            R.string.menu_about to Screen.ABOUT,
        )
        for ((item, screen) in screens) {
            choose(item)
            assertEquals(screen, driver.state.screen)
            driver.touch(R.string.back)
            assertEquals(Screen.CHAT, driver.state.screen)
        }
        assertTrue(driver.state.picture != null)
    }

    @Test
    fun aNewChatCanBeStartedFromTheMenuAfterAQuestion() {
        driver.seen()
        driver.touch(R.string.menu)
        assertNull(ShadowPopupMenu.getLatestPopupMenu().menu.findItem(R.string.new_chat))
        driver.ask("What is this?")
        choose(R.string.new_chat)
        assertTrue(driver.state.session.turns.isEmpty())
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        assertTrue(driver.state.picture != null)
    }
}
