package org.mobilevlmkit.core.live

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionFixture
import java.io.File
import java.nio.ByteBuffer

/** Live mode with a session whose worker runs on request. */
class LiveSessionTest {
    private val fixture = SessionFixture()
    private val live = LiveSession(fixture.session, "What is this?", 8)
    private val condition = PhoneCondition()
    private var now = 0L

    /** A frame of the scene [value]; any two scenes differ. */
    private fun frame(value: Int): FrameSketch {
        val luma = ByteArray(64 * 64) { (it * (value + 3) / 64 * 53).toByte() }
        return FrameSketch.of(64, 64, Plane(ByteBuffer.wrap(luma), 64, 1))
    }

    private fun comes(value: Int, condition: PhoneCondition = this.condition, afterMs: Long = 1_000): LiveAction {
        now += afterMs
        return live.onFrame(frame(value), now, condition) { SessionFixture.picture(value) }
    }

    private fun open() {
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        fixture.engine.answers = { listOf("▁yes", "</s>") }
    }

    @Test
    fun eachNewSceneIsDescribedOnce() {
        open()
        for (value in 1..3) {
            assertEquals(LiveAction.DESCRIBE, comes(value))
            fixture.settle()
            assertEquals("yes", fixture.state.turns.single().answer)
            assertEquals(LiveAction.SKIP, comes(value))
        }
        assertEquals(3, fixture.engine.pictures)
    }

    @Test
    fun framesAreSkippedWithoutAModel() {
        assertEquals(LiveAction.SKIP, comes(1))
        fixture.session.open(File("a.mvlm"))
        assertEquals(Phase.LOADING, fixture.state.phase)
        assertEquals(LiveAction.SKIP, comes(2))
        fixture.settle()
        assertEquals(LiveAction.DESCRIBE, comes(3))
    }

    @Test
    fun anotherSceneStopsTheAnswerInTheMiddle() {
        open()
        fixture.engine.answers = { List(8) { "▁a" } }
        fixture.engine.meanwhile = { if (it == "piece 2") assertEquals(LiveAction.REPLACE, comes(2)) }
        comes(1)
        fixture.step() // look
        fixture.step() // answer, cut
        assertEquals(listOf(1, 0), listOf(fixture.engine.pictures, fixture.state.turns.size))
        fixture.engine.meanwhile = {}
        fixture.settle()
        assertEquals(Ended.LENGTH, fixture.state.turns.single().ended)
        assertEquals(2, fixture.engine.pictures)
    }

    @Test
    fun theNewestFrameWinsWhileAnotherIsEncoded() {
        open()
        fixture.engine.meanwhile = {
            if (it == "prefillImage" && fixture.engine.pictures == 0) for (value in 2..9) assertEquals(LiveAction.REPLACE, comes(value))
        }
        comes(1)
        fixture.settle()
        assertEquals(2, fixture.engine.pictures)
        assertEquals(-1 - 9, fixture.engine.cache.last { it < 0 })
    }

    @Test
    fun aMovingCameraGetsItsAnswers() {
        open()
        var value = 1
        fixture.engine.meanwhile = { if (it == "prefillImage") comes(++value) }
        comes(1)
        fixture.settle()
        assertEquals(1 + LivePolicy.MAX_REPLACED, fixture.engine.pictures)
        assertEquals("yes", fixture.state.turns.single().answer)
    }

    @Test
    fun theAgeOfTheFrameIsThatOfItsAnswer() {
        assertNull("nothing is described yet", live.frameAgeMs(fixture.state, now))
        open()
        comes(1)
        val taken = now
        fixture.settle()
        assertEquals(2_500L, live.frameAgeMs(fixture.state, taken + 2_500))
        comes(1)
        assertEquals(now - taken, live.frameAgeMs(fixture.state, now))
        fixture.session.show(SessionFixture.picture(7)) // the user takes a picture
        assertNull(live.frameAgeMs(fixture.state, now))
    }

    @Test
    fun anOutdatedStateEndsNothing() {
        open()
        comes(1)
        fixture.settle()
        val old = fixture.state
        live.onState(old, now)
        assertEquals(LiveAction.DESCRIBE, comes(2))
        fixture.step() // it is encoded
        live.onState(old, now) // delivered late
        assertEquals(LiveAction.REPLACE, comes(3)) // otherwise it would be DESCRIBE
    }

    @Test
    fun heatAndTheBackgroundStopWhatRuns() {
        for (paused in listOf(PhoneCondition(Thermal.SEVERE), PhoneCondition(isInForeground = false))) {
            val fixture = SessionFixture()
            val live = LiveSession(fixture.session, "What is this?", 8)
            fixture.session.open(File("a.mvlm"))
            fixture.settle()
            fixture.engine.answers = { List(8) { "▁a" } }
            fixture.engine.meanwhile = {
                if (it == "piece 2") assertEquals(LiveAction.PAUSE, live.onFrame(frame(1), 2_000, paused) { error("not looked at") })
            }
            live.onFrame(frame(1), 1_000, condition) { SessionFixture.picture(1) }
            fixture.settle()
            assertEquals(Ended.STOPPED, fixture.state.turns.single().ended)
            fixture.engine.meanwhile = {}
            assertEquals(LiveAction.DESCRIBE, live.onFrame(frame(1), 9_000, condition) { SessionFixture.picture(1) })
        }
    }

    @Test
    fun aPauseLeavesTheAnswerAboutTheUsersOwnPictureAlone() {
        open()
        comes(1)
        fixture.settle()
        fixture.session.show(SessionFixture.picture(7), "And this?")
        fixture.engine.meanwhile = { if (it == "piece 0") assertEquals(LiveAction.PAUSE, comes(2, PhoneCondition(isInForeground = false))) }
        fixture.settle()
        assertEquals(Ended.COMPLETE, fixture.state.turns.single().ended)
    }

    @Test
    fun aFailureIsRetriedAfterAPause() {
        open()
        fixture.engine.meanwhile = { if (it == "prefillImage") error("it broke") }
        comes(1)
        fixture.settle()
        assertTrue("${fixture.state.problem}", fixture.state.problem != null)
        assertEquals(LiveAction.SKIP, comes(1, afterMs = 100))
        fixture.engine.meanwhile = {}
        assertEquals(LiveAction.DESCRIBE, comes(1, afterMs = 500))
        fixture.settle()
        assertEquals("yes", fixture.state.turns.single().answer)
    }
}
