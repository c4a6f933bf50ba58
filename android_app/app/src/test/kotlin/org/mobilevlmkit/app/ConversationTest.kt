package org.mobilevlmkit.app

import android.app.Activity
import android.content.ClipboardManager
import android.content.Intent
import android.content.pm.ActivityInfo
import android.content.pm.ResolveInfo
import android.speech.RecognizerIntent
import android.view.MotionEvent
import android.view.View
import android.view.inputmethod.EditorInfo
import android.widget.EditText
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.pixels.FittedPicture
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Problem
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowPopupMenu
import java.io.File

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
        assertTrue("Describe the image." in driver.texts().lines())
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
        assertFalse("Why?" in driver.texts().lines())
    }

    @Test
    fun aSuggestedQuestionIsAskedWithOneTap() {
        driver.seen()
        val preset = driver.state.presets.first()
        driver.touch(preset)
        assertEquals(preset, driver.state.session.turns.single().question)
    }

    @Test
    fun nothingIsAskedWithoutText() {
        driver.seen()
        assertFalse(driver.find(driver.string(R.string.send))!!.isEnabled)
        driver.field().text = "  "
        assertFalse(driver.find(driver.string(R.string.send))!!.isEnabled)
        (driver.field() as EditText).onEditorAction(EditorInfo.IME_ACTION_SEND)
        driver.dependencies.settle()
        assertTrue(driver.state.session.turns.isEmpty())
    }

    @Test
    fun enterSends() {
        driver.seen()
        driver.field().text = "What is this?"
        (driver.field() as EditText).onEditorAction(EditorInfo.IME_ACTION_SEND)
        driver.dependencies.settle()
        assertEquals("yes", driver.state.session.turns.single().answer)
        assertEquals("", "${driver.field().text}")
    }

    @Test
    fun suggestionsGiveWayToWhatIsTyped() {
        driver.seen()
        val preset = driver.state.presets.first()
        assertTrue(driver.find(preset) != null)
        driver.field().text = "Why"
        assertNull(driver.find(preset))
    }

    @Test
    fun anAnswerIsCopiedAndShared() {
        driver.seen()
        driver.ask("What is this?")
        driver.touch(R.string.copy)
        val copied = driver.app.getSystemService(ClipboardManager::class.java).primaryClip!!.getItemAt(0).text
        assertEquals("yes", "$copied")
        driver.touch(R.string.share)
        val sent = sent()
        assertEquals("text/plain" to "You: What is this?\nyes", sent.type to sent.getStringExtra(Intent.EXTRA_TEXT))
    }

    @Test
    fun aConversationIsSharedWithItsPicture() {
        driver.seen()
        driver.ask("What is this?")
        driver.ask("Why?")
        choose(R.string.share_conversation)
        val sent = sent()
        assertEquals("You: What is this?\nyes\n\nYou: Why?\nyes", sent.getStringExtra(Intent.EXTRA_TEXT))
        val name = sent.clipData!!.getItemAt(0).uri.lastPathSegment!!
        val file = File(CaptureProvider.folder(driver.app), name)
        assertTrue(Photos.bitmap(Photos.read(file)).sameAs(driver.state.picture))
        assertEquals("image/png", sent.type)
    }

    private fun sent(): Intent {
        val chooser = shadowOf(driver.activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        @Suppress("DEPRECATION")
        return checkNotNull(chooser.getParcelableExtra(Intent.EXTRA_INTENT))
    }

    @Test
    fun dictationIsOfferedOnlyWhereThePhoneRecognizesSpeech() {
        driver.seen()
        assertNull(driver.find(driver.string(R.string.dictate)))
        val recognizer = ResolveInfo().apply {
            activityInfo = ActivityInfo().apply {
                packageName = "voice"
                name = "Voice"
            }
        }
        @Suppress("DEPRECATION")
        shadowOf(driver.app.packageManager).addResolveInfoForIntent(Intent(RecognizerIntent.ACTION_RECOGNIZE_SPEECH), recognizer)
        driver.change(PHONE)
        driver.field().text = ""
        driver.touch(R.string.dictate)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult
        assertEquals("en-US", asked.intent.getStringExtra(RecognizerIntent.EXTRA_LANGUAGE))
        val said = Intent().putStringArrayListExtra(RecognizerIntent.EXTRA_RESULTS, arrayListOf("what is this", "what is his"))
        shadowOf(driver.activity).receiveResult(asked.intent, Activity.RESULT_OK, said)
        assertEquals("what is this", "${driver.field().text}")
    }

    // --- a part of the picture

    /** Drags over the enlarged picture from one corner to another; all as parts of its width and height. */
    private fun drag(left: Float, top: Float, right: Float, bottom: Float) {
        driver.layOut(driver.activity.window.decorView)
        val view = driver.views().filterIsInstance<PartView>().single()
        val place = FittedPicture(view.width, view.height, driver.state.pictureSize.first, driver.state.pictureSize.second).place
        fun send(action: Int, x: Float, y: Float) =
            view.dispatchTouchEvent(MotionEvent.obtain(0, 0, action, place.left + x * place.width, place.top + y * place.height, 0))
        send(MotionEvent.ACTION_DOWN, left, top)
        send(MotionEvent.ACTION_MOVE, right, bottom)
        send(MotionEvent.ACTION_UP, right, bottom)
    }

    @Test
    fun aPartOfThePictureIsAskedAboutAndTheWholeComesBack() {
        driver.seen()
        driver.ask("What is this?")
        val whole = driver.state.picture
        val size = driver.state.pictureSize
        driver.touch(R.string.enlarge)
        assertNull(driver.find(driver.string(R.string.ask_part)))
        drag(0.5f, 0.5f, 1f, 1f)
        driver.touch(R.string.ask_part)
        assertEquals(size.first / 2 to size.second / 2, driver.state.pictureSize)
        assertEquals(whole!!.getPixel(whole.width - 1, whole.height - 1), driver.state.picture!!.run { getPixel(width - 1, height - 1) })
        assertTrue(driver.state.session.turns.isEmpty())
        driver.ask("Read the text.")
        driver.touch(R.string.whole_picture)
        assertTrue(whole.sameAs(driver.state.picture))
        assertEquals(listOf("What is this?"), driver.state.session.turns.map { it.question })
        assertNull(driver.find(driver.string(R.string.whole_picture)))
    }

    /** By a screen reader's menu of actions. */
    @Test
    fun aPartIsChosenByItsName() {
        driver.seen()
        val (width, height) = driver.state.pictureSize
        driver.touch(R.string.enlarge)
        driver.layOut(driver.activity.window.decorView)
        assertTrue(driver.isSeen(R.string.drag_part))
        val view = driver.views().filterIsInstance<PartView>().single()
        val offered = view.createAccessibilityNodeInfo().actionList.mapNotNull { action -> action.label?.let { action.id to "$it" } }
        assertEquals(NamedPart.values().map { driver.string(it.label) }, offered.map { it.second })
        val (upper, _) = offered.single { it.second == "Upper right quarter" }
        assertTrue(view.performAccessibilityAction(upper, null))
        driver.idle()
        val announced = driver.views().filterIsInstance<TextView>().single { "${it.text}" == "Upper right quarter chosen." }
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, announced.accessibilityLiveRegion)
        driver.touch(R.string.ask_part)
        assertEquals(width / 2 to height / 2, driver.state.pictureSize)
        driver.touch(R.string.enlarge)
        drag(0f, 0f, 0.5f, 0.5f)
        assertTrue(driver.isSeen(R.string.drag_part))
    }

    @Test
    fun theEnlargedPictureIsLeftByTheBackGesture() {
        driver.seen()
        driver.touch(R.string.enlarge)
        drag(0.5f, 0.5f, 0.5f, 0.5f)
        assertNull(driver.find(driver.string(R.string.ask_part)))
        driver.swipeBack()
        assertFalse(driver.state.isEnlarged)
        assertTrue(driver.state.picture != null)
        driver.touch(R.string.enlarge)
        driver.touch(R.string.close)
        assertFalse(driver.state.isEnlarged)
    }

    @Test
    fun aQuestionWaitsForThePicture() {
        driver.aiming()
        driver.press(driver.string(R.string.shutter))
        driver.camera.frame()
        driver.idle()
        driver.field().text = "What is this?"
        driver.press(driver.string(R.string.send))
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
                assertNull(driver.find(driver.string(R.string.send)))
                driver.press(driver.string(R.string.stop))
            }
        }
        driver.ask("What is this?")
        val turn = driver.state.session.turns.single()
        assertEquals(Ended.STOPPED, turn.ended)
        assertTrue(turn.answer.split(" ").size in 3..5)
        assertTrue(driver.isSeen(R.string.ended_stopped))
        assertTrue(driver.find(driver.string(R.string.send)) != null)
    }

    @Test
    fun timesAreShownOnRequest() {
        driver.seen()
        driver.engine.answers = Scenery::answer
        driver.ask("Describe the image.")
        val speed = "picture 2.4 s · first word 0.3 s · 12.5 tokens/s"
        assertFalse("tokens" in driver.texts())
        driver.touch(R.string.details)
        assertTrue(driver.texts(), speed in driver.texts().lines())
        driver.touch(R.string.details)
        assertFalse("tokens" in driver.texts())
        model.setDetailsShown(true)
        driver.dependencies.settle()
        driver.ask("Read the word.")
        assertEquals(1, driver.texts().split("first word").size - 1) // the first was closed by hand
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
        driver.touch(R.string.send)
        assertEquals("yes", driver.state.session.turns.single().answer)
        assertFalse(driver.isSeen(R.string.problem_full))
    }

    @Test
    fun whatIsTypedMeanwhileIsNotOverwritten() {
        driver.seen()
        driver.field().text = List(450) { "red" }.joinToString(" ")
        driver.press(driver.string(R.string.send))
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
