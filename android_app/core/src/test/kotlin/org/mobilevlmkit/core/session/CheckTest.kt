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

/** The model lent to a check, and given back. */
class CheckTest {
    private val scene = Scene().seen().asked("What is this?")
    private val ran = ArrayList<Phase>()

    private fun check(work: (LoadedModel, Job) -> Unit = { _, _ -> }) = scene.session.check { model, job ->
        ran.add(scene.state.phase)
        work(model, job)
    }

    /** A check that uses the engine for something else. */
    private fun use(model: LoadedModel) {
        model.engine.reset()
        model.engine.prefillText("something else")
    }

    @Test
    fun theConversationComesBackAfterwards() {
        val cache = scene.engine.cache.toList() + 2
        assertTrue(check { model, _ -> use(model) })
        assertEquals(Phase.CHECKING, scene.state.phase)
        scene.settle()
        assertEquals(listOf(Phase.CHECKING), ran)
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals(cache, scene.engine.cache)
        scene.asked("Why?")
        assertEquals(listOf("yes", "yes"), scene.state.turns.map { it.answer })
    }

    @Test
    fun aModelThatWasReleasedIsLoadedAgain() {
        val cache = scene.engine.cache.toList() + 2
        check { model, _ ->
            model.release()
            model.release()
            assertTrue(scene.engine.isClosed)
        }
        scene.settle()
        assertEquals(2, scene.engines.size)
        assertEquals(cache, scene.engine.cache)
        assertEquals(Phase.SEEN, scene.state.phase)
    }

    @Test
    fun withoutAModelOrInTheBackgroundThereIsNothingToCheck() {
        assertFalse(Scene().session.check { _, _ -> })
        assertTrue(check())
        assertFalse(check())
        scene.settle()
        scene.session.background()
        assertFalse(check())
        scene.settle()
        assertEquals(1, ran.size)
    }

    @Test
    fun aModelThatIsToBeFreedIsNotLent() {
        for (wish in listOf("open", "close")) {
            val scene = Scene().seen()
            leaving.getValue(wish)(scene.session)
            assertFalse(wish, scene.session.check { _, _ -> error(wish) })
        }
    }

    @Test
    fun anAnswerThatIsComingIsStoppedFirst() {
        scene.engine.answers = { List(9) { "▁a" } }
        scene.engine.meanwhile = { if (it == "piece 1") assertTrue(check()) }
        scene.asked("Why?")
        assertEquals(Ended.STOPPED, scene.state.turns.last().ended)
        assertEquals(1, ran.size)
    }

    @Test
    fun whatItThrowsIsAProblem() {
        check { _, _ -> throw CaptureException("golden.json: got nothing, expected records") }
        scene.settle()
        assertEquals(Problem.Check("golden.json: got nothing, expected records"), scene.state.problem)
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals("yes", scene.state.turns.single().answer)
        check()
        assertNull(scene.state.problem)
    }

    private val leaving = mapOf<String, (VlmSession) -> Unit>(
        "stop" to { it.stop() },
        "show" to { it.show(Scene.picture(2)) },
        "open" to { it.open(File("b.mvlm")) },
        "close" to { it.close() },
        "background" to { it.background() },
    )

    @Test
    fun leavingCancelsIt() {
        for ((wish, leave) in leaving) {
            val scene = Scene().seen()
            var cancelled = false
            scene.session.check { _, job ->
                leave(scene.session)
                cancelled = job.isCancelled
                throw CancellationException()
            }
            scene.settle()
            assertTrue(wish, cancelled)
            assertNull(wish, scene.state.problem)
            assertFalse(wish, scene.state.phase == Phase.CHECKING)
        }
    }

    @Test
    fun leavingBeforeItBeginsTakesItBack() {
        for ((wish, leave) in leaving) {
            val scene = Scene().seen()
            scene.session.check { _, _ -> error(wish) }
            leave(scene.session)
            scene.settle()
            assertNull(wish, scene.state.problem)
        }
    }

    @Test
    fun aQuestionWaitsForItsEnd() {
        check { _, _ -> assertTrue(scene.session.ask("Why?")) }
        scene.settle()
        assertEquals(listOf("What is this?", "Why?"), scene.state.turns.map { it.question })
        assertEquals(Ended.COMPLETE, scene.state.turns.last().ended)
    }
}
