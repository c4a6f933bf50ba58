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
class ConversationTest : OnStage() {
    private val answerView get() = stage.views().filterIsInstance<TextView>().last { "${it.text}".startsWith("A red") }

    @Test
    fun theAnswerStreamsAndIsReadOutWhenItIsWhole() {
        stage.seen()
        val seen = ArrayList<String>()
        val regions = ArrayList<Int>()
        stage.engine.answers = Scenery::answer
        stage.engine.meanwhile = {
            stage.idle()
            val answer = stage.state.session.turns.lastOrNull()?.answer.orEmpty()
            if (answer.length > 5) {
                assertTrue(stage.texts(), answer in stage.texts())
                seen.add(answer)
                regions.add(answerView.accessibilityLiveRegion)
            }
        }
        stage.ask("Describe the image.")
        assertTrue("$seen", "A red circle in" in seen && "A red circle" in seen)
        assertEquals(setOf(View.ACCESSIBILITY_LIVE_REGION_NONE), regions.toSet())
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, answerView.accessibilityLiveRegion)
        val answer = "A red circle in the center, an orange star at the bottom left and a yellow word MAP at the bottom right."
        assertTrue(answer in stage.texts().lines())
        assertTrue(stage.isSeen(R.string.you, "Describe the image."))
        assertEquals("", "${stage.field().text}")
    }

    @Test
    fun aFollowUpKeepsThePictureAndCanBeTakenBack() {
        stage.seen()
        stage.ask("What is this?")
        stage.ask("Why?")
        assertEquals(listOf("What is this?", "Why?"), stage.state.session.turns.map { it.question })
        assertEquals(1, stage.engine.pictures)
        assertEquals(1, stage.views().count { it.contentDescription == stage.string(R.string.undo_question_label) })
        stage.touch(R.string.undo_question_label)
        assertEquals(listOf("What is this?"), stage.state.session.turns.map { it.question })
        assertFalse(stage.isSeen(R.string.you, "Why?"))
    }

    @Test
    fun aPresetIsAskedByATouch() {
        stage.seen()
        val preset = stage.state.presets.first()
        stage.touch(preset)
        assertEquals(preset, stage.state.session.turns.single().question)
    }

    @Test
    fun nothingIsAskedWithoutAPictureOrWords() {
        stage.aiming()
        stage.field().text = "What is this?"
        assertFalse(stage.find(stage.string(R.string.ask))!!.isEnabled)
        stage.take()
        stage.field().text = "  "
        stage.touch(R.string.ask)
        assertTrue(stage.state.session.turns.isEmpty())
    }

    @Test
    fun aQuestionWaitsForThePicture() {
        stage.aiming()
        stage.press(stage.string(R.string.shutter))
        stage.camera.frame()
        stage.idle()
        stage.field().text = "What is this?"
        stage.press(stage.string(R.string.ask))
        stage.idle()
        assertTrue(stage.isSeen(R.string.phase_waiting, "What is this?"))
        stage.parts.settle()
        assertEquals("yes", stage.state.session.turns.single().answer)
    }

    @Test
    fun stopEndsTheAnswerAtOnce() {
        stage.seen()
        stage.engine.answers = { List(50) { "▁red" } }
        stage.engine.meanwhile = {
            if (it == "piece 3") {
                stage.idle()
                assertNull(stage.find(stage.string(R.string.ask)))
                stage.press(stage.string(R.string.stop))
            }
        }
        stage.ask("What is this?")
        val turn = stage.state.session.turns.single()
        assertEquals(Ended.STOPPED, turn.ended)
        assertTrue(turn.answer.split(" ").size in 3..5)
        assertTrue(stage.isSeen(R.string.ended_stopped))
        assertTrue(stage.find(stage.string(R.string.ask))!!.isEnabled)
    }

    @Test
    fun theStatsLineTellsTheSpeedAndCanBeHidden() {
        stage.seen()
        stage.engine.answers = Scenery::answer
        stage.ask("Describe the image.")
        val speed = "picture 2.4 s · first word 0.3 s · 12.5 tokens/s"
        assertTrue(stage.texts(), speed in stage.texts().lines())
        val used = stage.string(R.string.stats_context, stage.state.session.usedTokens, 512)
        assertTrue(stage.texts(), used in stage.texts())
        model.setStatsShown(false)
        assertFalse("tokens/s" in stage.texts())
        assertFalse(used in stage.texts())
    }

    @Test
    fun aFullContextOffersANewChatAndKeepsTheQuestion() {
        stage.seen()
        stage.engine.answers = { List(250) { "▁red" } }
        stage.ask("What is this?")
        val long = List(170) { "red" }.joinToString(" ")
        stage.ask(long)
        assertEquals(Problem.ContextFull(long), stage.state.session.problem)
        assertTrue(stage.isSeen(R.string.problem_full_detail))
        assertEquals(long, "${stage.field().text}")
        stage.engine.answers = { listOf("▁yes", "</s>") }
        stage.touch(R.string.problem_full_action)
        assertEquals(listOf(long to "yes"), stage.state.session.turns.map { it.question to it.answer })
        assertFalse(stage.isSeen(R.string.problem_full))
        assertEquals("", "${stage.field().text}")
        assertEquals(2, stage.engine.pictures)
    }

    @Test
    fun aQuestionWithoutRoomCanBeMadeShorter() {
        stage.seen()
        val long = List(450) { "red" }.joinToString(" ")
        stage.ask(long)
        assertTrue(stage.isSeen(R.string.problem_full))
        assertEquals(long, "${stage.field().text}")
        stage.field().text = "What is this?"
        stage.touch(R.string.ask)
        assertEquals("yes", stage.state.session.turns.single().answer)
        assertFalse(stage.isSeen(R.string.problem_full))
    }

    @Test
    fun whatIsTypedMeanwhileIsNotOverwritten() {
        stage.seen()
        stage.field().text = List(450) { "red" }.joinToString(" ")
        stage.press(stage.string(R.string.ask))
        stage.field().text = "And"
        stage.parts.settle()
        assertTrue(stage.isSeen(R.string.problem_full))
        assertEquals("And", "${stage.field().text}")
    }

    @Test
    fun anEngineThatFailsIsToldAndTriedAgain() {
        stage.parts.prepare = { it.meanwhile = { call -> if (call == "prefillImage") error("no kernel\nfor op") } }
        stage.seen()
        assertTrue(stage.isSeen(R.string.problem_engine))
        assertTrue("engine: no kernel" in stage.texts().lines())
        stage.engine.meanwhile = {}
        stage.touch(R.string.try_again)
        assertEquals(Phase.SEEN, stage.state.session.phase)
        assertFalse(stage.isSeen(R.string.problem_engine))
    }

    @Test
    fun anAnswerThatFailsIsMarked() {
        stage.seen()
        stage.engine.meanwhile = { if (it == "piece 0") error("no kernel") }
        stage.ask("What is this?")
        assertTrue(stage.isSeen(R.string.ended_failed))
        assertTrue("engine: no kernel" in stage.texts())
        assertEquals("", stage.state.session.turns.single().answer)
    }

    private fun choose(item: Int) {
        stage.touch(R.string.menu)
        assertTrue(ShadowPopupMenu.getLatestPopupMenu().menu.performIdentifierAction(item, 0))
        stage.parts.settle()
    }

    @Test
    fun theMenuLeadsToEveryOtherScreenAndBack() {
        stage.seen()
        val screens = listOf(
            R.string.menu_models to Screen.BUNDLES,
            R.string.menu_check to Screen.CHECK,
            R.string.menu_settings to Screen.SETTINGS,
            R.string.menu_about to Screen.ABOUT,
        )
        for ((item, screen) in screens) {
            choose(item)
            assertEquals(screen, stage.state.screen)
            stage.touch(R.string.back)
            assertEquals(Screen.CHAT, stage.state.screen)
        }
        assertTrue(stage.state.picture != null)
    }

    @Test
    fun aNewChatIsBegunFromTheMenuOnceSomethingWasSaid() {
        stage.seen()
        stage.touch(R.string.menu)
        assertNull(ShadowPopupMenu.getLatestPopupMenu().menu.findItem(R.string.new_chat))
        stage.ask("What is this?")
        choose(R.string.new_chat)
        assertTrue(stage.state.session.turns.isEmpty())
        assertEquals(Phase.SEEN, stage.state.session.phase)
        assertTrue(stage.state.picture != null)
    }
}
