package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.prompt.Prompt
import java.io.File

/**
 * Uses a session as on a phone and tracks the user's requests: the session must carry out these and nothing else. [interfere] is
 * called with a number at each point: before each step and each engine call, before and after each piece
 * of an answer, during a load, while a picture is read, and whenever the clock is read.
 */
class SessionScript(var interfere: SessionScript.(Int) -> Unit) {
    private class ReportedState(val state: SessionState, val kept: List<String>)

    private val said = ArrayList<ReportedState>() // and not encoded yet
    private var before = SessionState()
    private var doesFail = false
    private var mayFail = false
    private var isToHalt = false // the current answer is to be stopped after its first piece

    /** The number of points so far. */
    var points = 0
        private set

    private val fixture = SessionFixture().also { fixture ->
        fixture.onState = { said.add(ReportedState(it, kept.toList())) }
        fixture.whileLoading = { point(mayFail = true) }
        fixture.whileReadingTheClock = { point() }
        fixture.prepare = { engine ->
            engine.answers = { text ->
                isToHalt = "Halt" in text
                ANSWERS.getValue(picture(engine)).split(' ').map { "▁$it" } + "</s>"
            }
            engine.meanwhile = {
                if (it == "after piece 0" && isToHalt) stop()
                point(mayFail = true)
            }
        }
    }
    private val session get() = fixture.session

    // The user's requests.
    private var bundle: String? = null
    private var picture: Int? = null
    private var isAway = false
    private var isReleased = false
    private val kept = ArrayList<String>() // questions that no request has withdrawn
    private val pictures = HashMap<Int, Int>() // a picture's number → its identity
    private var asked = 0

    private fun point(mayFail: Boolean = false) {
        this.mayFail = mayFail
        interfere(points++)
    }

    /** Makes the running load or engine call fail. */
    fun fail() {
        if (!mayFail) return
        doesFail = true
        throw RuntimeException("the engine broke")
    }

    fun open(name: String) {
        if (name != bundle) forget()
        bundle = name
        session.open(File(name))
    }

    fun close() {
        forget()
        bundle = null
        isReleased = false
        session.close()
    }

    fun show(which: Int, question: String? = null) {
        forget()
        picture = which
        val text = question?.let { "$it ${++asked}?" }
        pictures[session.show(WatchedPicture(which), text)] = which
        text?.let { kept.add(it) }
    }

    fun ask(question: String, maxNewTokens: Int = 64) {
        val text = "$question ${++asked}?"
        if (session.ask(text, maxNewTokens)) kept.add(text)
    }

    fun stop() {
        kept.remove(session.state.waitingQuestion)
        kept.remove(session.state.turns.lastOrNull { it.ended == null }?.question) // if it hasn't begun
        session.stop()
    }

    fun undo() {
        val state = session.state
        kept.remove(state.waitingQuestion ?: state.turns.lastOrNull()?.question)
        session.undo()
    }

    fun newChat() {
        kept.clear()
        session.newChat()
    }

    fun retry() = session.retry()

    fun background() {
        isAway = true
        session.background()
    }

    fun releaseMemory() {
        isReleased = isReleased || isAway
        session.releaseMemory()
    }

    fun foreground() {
        isAway = false
        isReleased = false
        session.foreground()
    }

    fun check(releases: Boolean) {
        session.check { model, _ ->
            model.engine.reset()
            point()
            if (releases) model.release()
            point()
        }
    }

    private inner class WatchedPicture(which: Int, private val pixels: Picture = SessionFixture.picture(which)) : Picture by pixels {
        override fun readRow(y: Int, into: IntArray, at: Int) {
            if (y == 0) point()
            pixels.readRow(y, into, at)
        }
    }

    private fun forget() {
        kept.clear()
        picture = null
    }

    /** Runs all steps until nothing is left to do; the session must then match the requests. */
    fun settle() {
        while (true) {
            point()
            if (!fixture.step()) break
        }
        fixture.settle()
        requireSound()
        requireWanted()
    }

    /** Checks that there is exactly one question about the last picture, answered from that picture alone. */
    fun requireAnswered() {
        val state = session.state
        assertEquals("$state", listOf(ANSWERS.getValue(picture!!)), state.turns.map { it.answer })
        assertEquals("$state", Phase.IMAGE_READY to null, state.phase to state.problem)
        assertEquals(List(36) { -1 - picture!! }, fixture.engine.cache.filter { it < 0 })
    }

    /** Checks invariants of every state reported since the last check. */
    private fun requireSound() {
        for (each in said) {
            val state = each.state
            val open = state.turns.count { it.ended == null }
            assertTrue("$state", open == 0 || open == 1 && state.turns.last().ended == null)
            if (state.phase == Phase.ANSWERING) assertEquals("$state", 1, open)
            if (state.phase == Phase.IDLE) assertTrue("$state", state.bundle == null && state.turns.isEmpty())
            if (state.phase == Phase.FAILED) assertTrue("$state", state.problem != null)
            assertTrue("$state", doesFail || state.problem == null)
            val shown = state.turns.map { it.question } + listOfNotNull(state.waitingQuestion)
            if (!doesFail) for (question in each.kept) assertTrue("$question is lost: $state", question in shown)
            for (turn in state.turns) {
                val whole = ANSWERS.getValue(pictures.getValue(state.picture))
                assertTrue("$state", whole.startsWith(turn.answer)) // never another picture's, nor an error's text
                if (turn.ended == Ended.COMPLETE) assertEquals("$state", whole, turn.answer)
                val earlier = before.turns.firstOrNull { it.question == turn.question } ?: continue
                assertTrue(
                    "$before, $state",
                    turn.answer.startsWith(earlier.answer) && (earlier.ended == null || earlier.ended == turn.ended),
                )
            }
            assertTrue("$state is said twice", state != before)
            before = state
        }
        said.clear()
        for (engine in fixture.engines) {
            assertEquals(emptyList<String>(), engine.violations)
            assertTrue("$engine", engine.calls.count { it == "close" } <= 1)
        }
    }

    /** Checks invariants after all steps. */
    private fun requireWanted() {
        val state = session.state
        val at = "wanted $bundle, $picture, away: $isAway, released: $isReleased; got $state"
        assertEquals(at, before, state)
        assertEquals(at, bundle, state.bundle)
        assertTrue(at, state.turns.all { it.ended != null })
        val loaded = fixture.engines.filter { !it.isClosed }
        if (state.phase != Phase.FAILED) assertEquals(at, if (bundle == null || isReleased) 0 else 1, loaded.size)
        if (doesFail && state.phase == Phase.FAILED) return
        val seen = if (picture == null || doesFail && state.phase == Phase.READY) Phase.READY else Phase.IMAGE_READY
        val phases = when {
            bundle == null -> setOf(Phase.IDLE)
            isReleased -> setOf(Phase.SUSPENDED)
            isAway -> setOf(seen, Phase.ENCODING)
            else -> setOf(seen)
        }
        assertTrue(at, state.phase in phases)
        if (state.phase != Phase.IMAGE_READY || isAway) return
        assertEquals(at, null, state.waitingQuestion)
        if (doesFail) return
        val cache = loaded.single().cache
        assertEquals(at, List(36) { -1 - picture!! }, cache.filter { it < 0 })
        val prompt = Prompt(fixture.manifest.prompt)
        state.turns.forEachIndexed { index, turn ->
            val ids = fixture.ids(if (index == 0) prompt.afterImage(turn.question) else prompt.followUp(turn.question))
            assertTrue("$at: ${turn.question} isn't in the cache", cache.windowed(ids.size).any { it == ids })
        }
    }

    companion object {
        /** The engine's answer about each picture. */
        private val ANSWERS = mapOf(1 to "a red", 2 to "yes yes", 3 to "A circle", 9 to "no no")

        private fun picture(engine: FakeEngine): Int = -1 - engine.cache.first { it < 0 }
    }
}
