package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.Job
import java.io.File
import java.util.concurrent.CancellationException

/** A check borrows the model and returns it. */
class SessionCheckTest {
    private val fixture = SessionFixture().seen().asked("What is this?")
    private val ran = ArrayList<Phase>()

    private fun check(work: (LoadedModel, Job) -> Unit = { _, _ -> }) = fixture.session.check { model, job ->
        ran.add(fixture.state.phase)
        work(model, job)
    }

    /** A check that changes the engine's cache. */
    private fun use(model: LoadedModel) {
        model.engine.reset()
        model.engine.prefillText("something else")
    }

    @Test
    fun theConversationIsRestoredAfterwards() {
        val cache = fixture.engine.cache.toList() + 2
        assertTrue(check { model, _ -> use(model) })
        assertEquals(Phase.CHECKING, fixture.state.phase)
        fixture.settle()
        assertEquals(listOf(Phase.CHECKING), ran)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals(cache, fixture.engine.cache)
        fixture.asked("Why?")
        assertEquals(listOf("yes", "yes"), fixture.state.turns.map { it.answer })
    }

    @Test
    fun aModelThatWasReleasedIsLoadedAgain() {
        val cache = fixture.engine.cache.toList() + 2
        check { model, _ ->
            model.release()
            model.release()
            assertTrue(fixture.engine.isClosed)
        }
        fixture.settle()
        assertEquals(2, fixture.engines.size)
        assertEquals(cache, fixture.engine.cache)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
    }

    @Test
    fun withoutAModelOrInTheBackgroundThereIsNothingToCheck() {
        assertFalse(SessionFixture().session.check { _, _ -> })
        assertTrue(check())
        assertFalse(check())
        fixture.settle()
        fixture.session.background()
        assertFalse(check())
        fixture.settle()
        assertEquals(1, ran.size)
    }

    @Test
    fun aModelAboutToBeFreedIsNotChecked() {
        for (request in listOf("open", "close")) {
            val fixture = SessionFixture().seen()
            leaving.getValue(request)(fixture.session)
            assertFalse(request, fixture.session.check { _, _ -> error(request) })
        }
    }

    @Test
    fun aRunningAnswerIsStoppedFirst() {
        fixture.engine.answers = { List(9) { "▁a" } }
        fixture.engine.meanwhile = { if (it == "piece 1") assertTrue(check()) }
        fixture.asked("Why?")
        assertEquals(Ended.STOPPED, fixture.state.turns.last().ended)
        assertEquals(1, ran.size)
    }

    @Test
    fun whatItThrowsIsAProblem() {
        check { _, _ -> throw CaptureException("golden.json: got nothing, expected records") }
        fixture.settle()
        assertEquals(Problem.Check("golden.json: got nothing, expected records"), fixture.state.problem)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals("yes", fixture.state.turns.single().answer)
        check()
        assertNull(fixture.state.problem)
    }

    private val leaving = mapOf<String, (VlmSession) -> Unit>(
        "stop" to { it.stop() },
        "show" to { it.show(SessionFixture.picture(2)) },
        "open" to { it.open(File("b.mvlm")) },
        "close" to { it.close() },
        "background" to { it.background() },
    )

    @Test
    fun leavingCancelsIt() {
        for ((request, leave) in leaving) {
            val fixture = SessionFixture().seen()
            var cancelled = false
            fixture.session.check { _, job ->
                leave(fixture.session)
                cancelled = job.isCancelled
                throw CancellationException()
            }
            fixture.settle()
            assertTrue(request, cancelled)
            assertNull(request, fixture.state.problem)
            assertFalse(request, fixture.state.phase == Phase.CHECKING)
        }
    }

    @Test
    fun leavingBeforeItBeginsDropsIt() {
        for ((request, leave) in leaving) {
            val fixture = SessionFixture().seen()
            fixture.session.check { _, _ -> error(request) }
            leave(fixture.session)
            fixture.settle()
            assertNull(request, fixture.state.problem)
        }
    }

    @Test
    fun aQuestionWaitsForItsEnd() {
        check { _, _ -> assertTrue(fixture.session.ask("Why?")) }
        fixture.settle()
        assertEquals(listOf("What is this?", "Why?"), fixture.state.turns.map { it.question })
        assertEquals(Ended.COMPLETE, fixture.state.turns.last().ended)
    }
}
