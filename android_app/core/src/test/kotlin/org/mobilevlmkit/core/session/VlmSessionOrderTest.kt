package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/**
 * Every order that matters: a user opens a bundle, shows a picture and asks twice; at each point in the middle of what the session then does, every
 * wish, every pair of wishes, and every failure comes in.
 */
class VlmSessionOrderTest {
    private val wishes = linkedMapOf<String, (VlmSession) -> Unit>(
        "open the same" to { it.open(File("a.mvlm")) },
        "open another" to { it.open(File("b.mvlm")) },
        "close" to { it.close() },
        "show" to { it.show(Scene.picture(2)) },
        "show and ask" to { it.show(Scene.picture(3), "What now?") },
        "ask" to { it.ask("And why?", 2) },
        "stop" to { it.stop() },
        "undo" to { it.undo() },
        "new chat" to { it.newChat() },
        "retry" to { it.retry() },
        "background" to { it.background() },
        "release memory" to {
            it.background()
            it.releaseMemory()
        },
        "foreground" to { it.foreground() },
        "check" to { session -> session.check { model, _ -> model.engine.reset() } },
    )

    /** Plays the scene; [interfere] is called at each point with its number. Returns how many points there were. */
    private fun play(interfere: (VlmSession, Int) -> Unit): Int {
        val scene = Scene()
        var points = 0
        val point: (String) -> Unit = { interfere(scene.session, points++) }
        scene.whileLoading = { point("loading") }
        scene.prepare = {
            it.answers = { listOf("▁a", "▁red", "</s>") }
            it.meanwhile = point
        }
        scene.session.open(File("a.mvlm"))
        scene.session.show(Scene.picture(1), "What is this?")
        scene.settle()
        scene.session.ask("Why?")
        scene.settle()
        val played = points
        requireSound(scene)
        // From here on all goes well: the session must be as good as new.
        scene.whileLoading = {}
        scene.prepare = { it.answers = { listOf("▁yes", "</s>") } }
        scene.engines.forEach {
            it.meanwhile = {}
            it.answers = { listOf("▁yes", "</s>") }
        }
        scene.session.foreground()
        scene.session.open(File("c.mvlm"))
        scene.session.show(Scene.picture(9), "What is this?")
        scene.settle()
        requireSound(scene)
        assertEquals(listOf("yes"), scene.state.turns.map { it.answer })
        assertEquals(Phase.SEEN to null, scene.state.phase to scene.state.problem)
        assertEquals(setOf(-1 - 9), scene.engine.cache.filter { it < 0 }.toSet())
        return played
    }

    /** What holds of every state that was said, and of the last. */
    private fun requireSound(scene: Scene) {
        for (state in scene.states) {
            val open = state.turns.count { it.ended == null }
            assertTrue("$state", open == 0 || open == 1 && state.turns.last().ended == null)
            if (state.phase == Phase.ANSWERING) assertEquals("$state", 1, open)
            if (state.phase == Phase.IDLE) assertTrue("$state", state.bundle == null && state.turns.isEmpty())
            if (state.phase == Phase.FAILED) assertTrue("$state", state.problem != null)
            for (turn in state.turns) assertTrue("$state", "a red".startsWith(turn.answer) || turn.answer == "yes") // never an error's text
        }
        val phase = scene.state.phase
        assertTrue("at rest: ${scene.state}", phase != Phase.LOADING && phase != Phase.ANSWERING && phase != Phase.CHECKING)
        assertTrue("${scene.state}", scene.state.turns.all { it.ended != null })
        assertTrue("engines", scene.engines.count { !it.isClosed } <= 1)
        assertEquals(scene.states.last(), scene.state)
    }

    private val points = play { _, _ -> }

    private fun explore(what: String, interfere: (VlmSession, Int) -> Unit) = try {
        play(interfere)
    } catch (error: Throwable) {
        throw AssertionError("$what: $error", error)
    }

    @Test
    fun everyPairOfWishesAtEveryPoint() {
        assertTrue("$points", points >= 10)
        for (first in 0 until points) {
            for ((name, wish) in wishes) {
                for ((nextName, next) in wishes) {
                    for (gap in 0..1) {
                        explore("$name at $first, $nextName $gap points later") { session, point ->
                            if (point == first) wish(session)
                            if (point == first + gap) next(session)
                        }
                    }
                }
            }
        }
    }

    @Test
    fun everyFailureAtEveryPointAfterEveryWish() {
        for (first in 0 until points) {
            for ((name, wish) in wishes) {
                explore("$name and a failure at $first") { session, point ->
                    if (point == first) {
                        wish(session)
                        throw RuntimeException("the engine broke")
                    }
                }
            }
        }
    }
}
