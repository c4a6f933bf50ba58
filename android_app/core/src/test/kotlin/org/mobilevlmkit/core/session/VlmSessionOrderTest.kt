package org.mobilevlmkit.core.session

import org.junit.Assert.assertTrue
import org.junit.Test

/**
 * Every order that matters: at each point of a play, every wish, pairs of wishes, and every failure come in; whatever comes, [Play] holds
 * the session to what its user wants.
 */
class VlmSessionOrderTest {
    private val wishes = linkedMapOf<String, Play.() -> Unit>(
        "open the same" to { open("a.mvlm") },
        "open another" to { open("b.mvlm") },
        "close" to { close() },
        "close and open" to {
            close()
            open("a.mvlm")
        },
        "show" to { show(2) },
        "show and ask" to { show(3, "What now") },
        "ask" to { ask("And why", 2) },
        "stop" to { stop() },
        "undo" to { undo() },
        "new chat" to { newChat() },
        "retry" to { retry() },
        "background" to { background() },
        "release memory" to {
            background()
            releaseMemory()
        },
        "foreground" to { foreground() },
        "check" to { check(releases = false) },
        "check that needs the memory" to { check(releases = true) },
    )

    private val short: Play.() -> Unit = {
        open("a.mvlm")
        show(1, "What is this")
        settle()
    }

    /** All that a session does: loads, looks, answers, goes on after a stop, puts back what was undone or released, is checked, and ends. */
    private val long: Play.() -> Unit = {
        open("a.mvlm")
        show(1)
        settle()
        ask("Halt")
        settle()
        ask("Why")
        settle()
        undo()
        settle()
        background()
        releaseMemory()
        settle()
        foreground()
        settle()
        check(releases = true)
        settle()
        open("b.mvlm")
        show(2, "And this")
        settle()
        close()
        settle()
    }

    /** Plays [scene]; [interfere] is called at each point. From then on all goes well, and the session must be as good as new. */
    private fun play(what: String, scene: Play.() -> Unit, interfere: Play.(Int) -> Unit): Int = try {
        val play = Play(interfere)
        play.scene()
        val points = play.points
        play.interfere = {}
        play.foreground()
        play.open("c.mvlm")
        play.show(9, "What is this")
        play.settle()
        play.requireAnswered()
        play.close()
        play.settle()
        points
    } catch (error: Throwable) {
        throw AssertionError("$what: $error", error)
    }

    @Test
    fun everyPairOfWishesAtEveryPointOfAnAnswer() {
        val points = play("undisturbed", short) {}
        assertTrue("$points", points >= 20)
        for (first in 0 until points) {
            for ((name, wish) in wishes) {
                for ((nextName, next) in wishes) {
                    play("$name and $nextName at $first", short) { point ->
                        if (point == first) {
                            wish()
                            next()
                        }
                    }
                }
            }
        }
    }

    @Test
    fun everyWishAtEveryPointAndAnotherLater() {
        val points = play("undisturbed", long) {}
        assertTrue("$points", points >= 60)
        val names = wishes.keys.toList()
        for (first in 0 until points) {
            names.forEachIndexed { index, name ->
                val nextName = names[(index + first) % names.size]
                val gap = 1 + first % 5
                play("$name at $first, $nextName $gap points later", long) { point ->
                    if (point == first) wishes.getValue(name)()
                    if (point == first + gap) wishes.getValue(nextName)()
                }
            }
        }
    }

    @Test
    fun everyFailureAtEveryPointAfterEveryWish() {
        val points = play("undisturbed", long) {}
        for (first in 0 until points) {
            for ((name, wish) in wishes) {
                play("$name and a failure at $first", long) { point ->
                    if (point == first) {
                        wish()
                        fail()
                    }
                }
            }
        }
    }
}
