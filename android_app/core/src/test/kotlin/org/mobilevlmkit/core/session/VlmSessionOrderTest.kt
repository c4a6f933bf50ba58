package org.mobilevlmkit.core.session

import org.junit.Assert.assertTrue
import org.junit.Test

/**
 * Tests every relevant order: at each point of a script, every request, pairs of requests, and every failure. [SessionScript] checks
 * that the session does what its user requested.
 */
class VlmSessionOrderTest {
    private val requests = linkedMapOf<String, SessionScript.() -> Unit>(
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

    private val short: SessionScript.() -> Unit = {
        open("a.mvlm")
        show(1, "What is this")
        settle()
    }

    /** Everything a session does: load, encode, answer, continue after a stop, restore after undo or release, check, and close. */
    private val long: SessionScript.() -> Unit = {
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

    /** Runs [steps] with [interfere] called at each point. Afterwards nothing fails, and the session must work like a new one. */
    private fun play(what: String, steps: SessionScript.() -> Unit, interfere: SessionScript.(Int) -> Unit): Int = try {
        val script = SessionScript(interfere)
        script.steps()
        val points = script.points
        script.interfere = {}
        script.foreground()
        script.open("c.mvlm")
        script.show(9, "What is this")
        script.settle()
        script.requireAnswered()
        script.close()
        script.settle()
        points
    } catch (error: Throwable) {
        throw AssertionError("$what: $error", error)
    }

    @Test
    fun everyPairOfRequestsAtEveryPointOfAnAnswer() {
        val points = play("undisturbed", short) {}
        assertTrue("$points", points >= 20)
        for (first in 0 until points) {
            for ((name, request) in requests) {
                for ((nextName, next) in requests) {
                    play("$name and $nextName at $first", short) { point ->
                        if (point == first) {
                            request()
                            next()
                        }
                    }
                }
            }
        }
    }

    @Test
    fun everyRequestAtEveryPointAndAnotherLater() {
        val points = play("undisturbed", long) {}
        assertTrue("$points", points >= 60)
        val names = requests.keys.toList()
        for (first in 0 until points) {
            names.forEachIndexed { index, name ->
                val nextName = names[(index + first) % names.size]
                val gap = 1 + first % 5
                play("$name at $first, $nextName $gap points later", long) { point ->
                    if (point == first) requests.getValue(name)()
                    if (point == first + gap) requests.getValue(nextName)()
                }
            }
        }
    }

    @Test
    fun everyFailureAtEveryPointAfterEveryRequest() {
        val points = play("undisturbed", long) {}
        for (first in 0 until points) {
            for ((name, request) in requests) {
                play("$name and a failure at $first", long) { point ->
                    if (point == first) {
                        request()
                        fail()
                    }
                }
            }
        }
    }
}
