package org.mobilevlmkit.core.live

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Scene
import java.io.File
import java.nio.ByteBuffer

/** Live mode over a session whose worker runs when it is told to. */
class LiveSessionTest {
    private val scene = Scene()
    private val live = LiveSession(scene.session, "What is this?", 8)
    private val condition = PhoneCondition()
    private var now = 0L

    /** A frame of the scene [value]: any two are unlike. */
    private fun frame(value: Int): FrameSketch {
        val luma = ByteArray(64 * 64) { (it * (value + 3) / 64 * 53).toByte() }
        return FrameSketch.of(64, 64, Plane(ByteBuffer.wrap(luma), 64, 1))
    }

    private fun comes(value: Int, condition: PhoneCondition = this.condition, afterMs: Long = 1_000): LiveAction {
        now += afterMs
        return live.onFrame(frame(value), now, condition) { Scene.picture(value) }
    }

    private fun open() {
        scene.session.open(File("a.mvlm"))
        scene.settle()
        scene.engine.answers = { listOf("▁yes", "</s>") }
    }

    @Test
    fun eachNewSceneIsDescribedOnce() {
        open()
        for (value in 1..3) {
            assertEquals(LiveAction.LOOK, comes(value))
            scene.settle()
            assertEquals("yes", scene.state.turns.single().answer)
            assertEquals(LiveAction.SKIP, comes(value))
        }
        assertEquals(3, scene.engine.pictures)
    }

    @Test
    fun whileNoModelIsThereFramesAreLetGo() {
        assertEquals(LiveAction.SKIP, comes(1))
        scene.session.open(File("a.mvlm"))
        assertEquals(Phase.LOADING, scene.state.phase)
        assertEquals(LiveAction.SKIP, comes(2))
        scene.settle()
        assertEquals(LiveAction.LOOK, comes(3))
    }

    @Test
    fun anotherSceneStopsTheAnswerInTheMiddle() {
        open()
        scene.engine.answers = { List(8) { "▁a" } }
        scene.engine.meanwhile = { if (it == "piece 2") assertEquals(LiveAction.REPLACE, comes(2)) }
        comes(1)
        scene.step() // look
        scene.step() // answer, cut
        assertEquals(listOf(1, 0), listOf(scene.engine.pictures, scene.state.turns.size))
        scene.engine.meanwhile = {}
        scene.settle()
        assertEquals(Ended.LENGTH, scene.state.turns.single().ended)
        assertEquals(2, scene.engine.pictures)
    }

    @Test
    fun theNewestFrameWinsWhileAnotherIsEncoded() {
        open()
        scene.engine.meanwhile = {
            if (it == "prefillImage" && scene.engine.pictures == 0) for (value in 2..9) assertEquals(LiveAction.REPLACE, comes(value))
        }
        comes(1)
        scene.settle()
        assertEquals(2, scene.engine.pictures)
        assertEquals(-1 - 9, scene.engine.cache.last { it < 0 })
    }

    @Test
    fun aCameraThatNeverRestsGetsItsAnswers() {
        open()
        var value = 1
        scene.engine.meanwhile = { if (it == "prefillImage") comes(++value) }
        comes(1)
        scene.settle()
        assertEquals(1 + LivePolicy.MOST_REPLACED, scene.engine.pictures)
        assertEquals("yes", scene.state.turns.single().answer)
    }

    @Test
    fun theAgeOfTheFrameIsThatOfItsAnswer() {
        open()
        comes(1)
        val taken = now
        scene.settle()
        assertEquals(2_500L, live.frameAgeMs(scene.state, taken + 2_500))
        comes(1)
        assertEquals(now - taken, live.frameAgeMs(scene.state, now))
        scene.session.show(Scene.picture(7)) // the user takes a picture
        assertNull(live.frameAgeMs(scene.state, now))
    }

    @Test
    fun aStateThatWasOvertakenEndsNothing() {
        open()
        comes(1)
        scene.settle()
        val old = scene.state
        live.onState(old, now)
        assertEquals(LiveAction.LOOK, comes(2))
        scene.step() // it is encoded
        live.onState(old, now) // handed on late
        assertEquals(LiveAction.REPLACE, comes(3)) // or else it would be LOOK
    }

    @Test
    fun heatAndTheBackgroundStopWhatRuns() {
        for (paused in listOf(PhoneCondition(Thermal.SEVERE), PhoneCondition(isInForeground = false))) {
            val scene = Scene()
            val live = LiveSession(scene.session, "What is this?", 8)
            scene.session.open(File("a.mvlm"))
            scene.settle()
            scene.engine.answers = { List(8) { "▁a" } }
            scene.engine.meanwhile = {
                if (it == "piece 2") assertEquals(LiveAction.PAUSE, live.onFrame(frame(1), 2_000, paused) { error("not looked at") })
            }
            live.onFrame(frame(1), 1_000, condition) { Scene.picture(1) }
            scene.settle()
            assertEquals(Ended.STOPPED, scene.state.turns.single().ended)
            scene.engine.meanwhile = {}
            assertEquals(LiveAction.LOOK, live.onFrame(frame(1), 9_000, condition) { Scene.picture(1) })
        }
    }

    @Test
    fun aPauseLeavesTheAnswerAboutTheUsersOwnPictureAlone() {
        open()
        comes(1)
        scene.settle()
        scene.session.show(Scene.picture(7), "And this?")
        scene.engine.meanwhile = { if (it == "piece 0") assertEquals(LiveAction.PAUSE, comes(2, PhoneCondition(isInForeground = false))) }
        scene.settle()
        assertEquals(Ended.COMPLETE, scene.state.turns.single().ended)
    }

    @Test
    fun aFailureIsTriedAgainAfterARest() {
        open()
        scene.engine.meanwhile = { if (it == "prefillImage") error("it broke") }
        comes(1)
        scene.settle()
        assertTrue("${scene.state.problem}", scene.state.problem != null)
        assertEquals(LiveAction.SKIP, comes(1, afterMs = 100))
        scene.engine.meanwhile = {}
        assertEquals(LiveAction.LOOK, comes(1, afterMs = 500))
        scene.settle()
        assertEquals("yes", scene.state.turns.single().answer)
    }
}
