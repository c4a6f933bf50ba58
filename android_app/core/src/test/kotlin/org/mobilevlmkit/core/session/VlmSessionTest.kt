package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.pixels.Picture
import java.io.File

/** Bundles, pictures, phases and the app's lifecycle. */
class VlmSessionTest {
    @Test
    fun thePictureIsEncodedWhileTheUserTypes() {
        val fixture = SessionFixture().seen()
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals(fixture.prefix(1), fixture.engine.cache)
        assertEquals(fixture.prefix(1).size, fixture.state.usedTokens)
        assertEquals(512, fixture.state.maxTokens)
        fixture.asked("What is this?")
        assertEquals(1, fixture.engine.pictures)
        val turn = fixture.state.turns.single()
        assertEquals(ChatTurn("What is this?", "yes", Ended.COMPLETE, turn.stats), turn)
        assertEquals(fixture.prefix(1) + fixture.ids("\nWhat is this? ASSISTANT:") + fixture.tokenizer.id("▁yes"), fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
        assertEquals(1, turn.stats!!.tokens)
        assertTrue(turn.stats!!.imageS > 0 && turn.stats!!.firstTokenS > 0)
    }

    @Test
    fun everyPhaseIsShownInOrder() {
        val fixture = SessionFixture().seen().asked("What is this?")
        fixture.session.close()
        fixture.settle()
        val phases = fixture.states.map { it.phase }.fold(emptyList<Phase>()) { all, phase ->
            if (all.lastOrNull() == phase) all else all + phase
        }
        assertEquals(listOf(Phase.LOADING, Phase.ENCODING, Phase.IMAGE_READY, Phase.ANSWERING, Phase.IMAGE_READY, Phase.IDLE), phases)
        assertEquals(0.5f, fixture.states.maxOf { it.loadProgress })
        assertTrue(fixture.engine.isClosed)
    }

    @Test
    fun aNewPictureResetsTheConversation() {
        val fixture = SessionFixture().seen().asked("What is this?")
        fixture.session.show(SessionFixture.picture(2))
        assertEquals(Phase.ENCODING, fixture.state.phase)
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        fixture.settle()
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals(fixture.prefix(2), fixture.engine.cache)
    }

    @Test
    fun aNewPictureWhileAnsweringStopsTheAnswer() {
        val fixture = SessionFixture().seen()
        fixture.engine.answers = SessionFixture.answering("▁A", "▁red", "▁circle", "</s>")
        fixture.engine.meanwhile = { if (it == "piece 1") fixture.session.show(SessionFixture.picture(2)) }
        fixture.session.ask("What?")
        fixture.step()
        assertEquals(Phase.ENCODING, fixture.state.phase)
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        fixture.settle()
        assertEquals(fixture.prefix(2), fixture.engine.cache)
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        assertNull(fixture.state.problem)
    }

    @Test
    fun theNewestPictureWins() {
        val fixture = SessionFixture()
        fixture.session.open(File("a.mvlm"))
        for (value in 1..5) fixture.session.show(SessionFixture.picture(value))
        fixture.settle()
        assertEquals(1, fixture.engine.pictures)
        assertEquals(fixture.prefix(5), fixture.engine.cache)
        fixture.engine.meanwhile =
            { if (it == "prefillImage" && fixture.engine.pictures == 1) fixture.session.show(SessionFixture.picture(7)) }
        fixture.session.show(SessionFixture.picture(6))
        fixture.settle()
        assertEquals(fixture.prefix(7), fixture.engine.cache)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
    }

    @Test
    fun aQuestionAskedEarlyWaits() {
        val fixture = SessionFixture()
        fixture.session.open(File("a.mvlm"))
        assertFalse("without a picture", fixture.session.ask("What?"))
        fixture.session.show(SessionFixture.picture(1))
        assertTrue(fixture.session.ask("What?"))
        assertFalse("one waits already", fixture.session.ask("Who?"))
        assertEquals("What?", fixture.state.waitingQuestion)
        assertEquals(Phase.LOADING, fixture.state.phase)
        fixture.settle()
        assertNull(fixture.state.waitingQuestion)
        assertEquals(listOf("What?"), fixture.state.turns.map { it.question })
        assertFalse(fixture.session.ask(" \n"))
    }

    @Test
    fun theNextQuestionMayBeAskedOnceTheAnswerIsReportedAsEnded() {
        val fixture = SessionFixture().seen()
        var asked = false
        fixture.onState = {
            if (!asked && it.turns.lastOrNull()?.ended != null) {
                asked = true
                assertEquals(Phase.IMAGE_READY, it.phase)
                assertTrue(fixture.session.ask("Why?"))
            }
        }
        fixture.asked("What is this?")
        assertEquals(listOf("yes", "yes"), fixture.state.turns.map { it.answer })
    }

    @Test
    fun aPictureWaitsUntilItIsBeingEncoded() {
        val waits = ArrayList<Boolean>()
        val fixture = SessionFixture()
        fixture.whileLoading = { waits.add(fixture.state.isPictureWaiting) }
        fixture.prepare = { it.meanwhile = { call -> if (call == "prefillImage") waits.add(fixture.state.isPictureWaiting) } }
        fixture.seen()
        assertEquals(listOf(true, false), waits)
        assertEquals(Phase.ENCODING, fixture.states.first { !it.isPictureWaiting && it.picture == fixture.state.picture }.phase)
    }

    @Test
    fun aQuestionAboutTheOldPictureIsNotAskedOfTheNewOne() {
        val fixture = SessionFixture().seen()
        fixture.session.ask("What was it?")
        fixture.session.show(SessionFixture.picture(2))
        fixture.settle()
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        fixture.session.show(SessionFixture.picture(3), "What is it?")
        fixture.settle()
        assertEquals(listOf("What is it?"), fixture.state.turns.map { it.question })
        assertEquals(fixture.prefix(3), fixture.engine.cache.take(fixture.prefix(3).size))
    }

    @Test
    fun aPictureThatCannotBeEncodedCanBeTriedAgain() {
        for (at in listOf("reset", "prefillText", "prefillImage")) {
            val fixture = SessionFixture().seen()
            fixture.engine.meanwhile = { if (it == at) throw OutOfMemoryError("no room") }
            fixture.session.show(SessionFixture.picture(2))
            fixture.settle()
            assertEquals(Problem.Engine("engine: no room"), fixture.state.problem)
            fixture.engine.meanwhile = {}
            fixture.session.retry()
            fixture.settle()
            assertNull(fixture.state.problem)
            assertEquals(fixture.prefix(2), fixture.engine.cache)
        }
    }

    @Test
    fun aPictureThatCannotBeReadIsReportedUntilAnotherIsShown() {
        val fixture = SessionFixture().seen()
        val unreadable = object : Picture by SessionFixture.picture(2) {
            override fun readRow(y: Int, into: IntArray, at: Int): Unit = throw PictureException("picture: got no rows")
        }
        fixture.session.show(unreadable, "What?")
        fixture.settle()
        assertEquals(Problem.Input("picture: got no rows"), fixture.state.problem)
        assertEquals(Phase.READY to null, fixture.state.phase to fixture.state.waitingQuestion)
        assertFalse("without a picture", fixture.session.ask("What?"))
        fixture.seen(SessionFixture.picture(3))
        assertEquals(Phase.IMAGE_READY to null, fixture.state.phase to fixture.state.problem)
    }

    @Test
    fun aFailedLoadIsReportedAndCanBeRetried() {
        val problems = mapOf(
            BundleException("a.mvlm: model.pte: the file is damaged") to Problem.Bundle("a.mvlm: model.pte: the file is damaged"),
            MemoryException(2_000, 1_000) to Problem.Memory(2_000, 1_000),
            RuntimeException("no such operator") to Problem.Engine("engine: no such operator"),
        )
        for ((error, problem) in problems) {
            val fixture = SessionFixture()
            fixture.whileLoading = { throw error }
            fixture.session.open(File("a.mvlm"))
            fixture.session.show(SessionFixture.picture(1))
            fixture.settle()
            assertEquals(problem, fixture.state.problem)
            assertEquals(Phase.FAILED, fixture.state.phase)
            fixture.whileLoading = {}
            fixture.session.retry()
            fixture.settle()
            assertNull(fixture.state.problem)
            assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        }
    }

    @Test
    fun aTightFitIsAWarningAndNoProblem() {
        val fixture = SessionFixture()
        fixture.fit = MemoryFit.TIGHT
        fixture.seen()
        assertEquals(MemoryFit.TIGHT, fixture.state.memory)
        assertNull(fixture.state.problem)
        fixture.session.close()
        fixture.settle()
        assertEquals(MemoryFit.FITS, fixture.state.memory)
    }

    @Test
    fun closingWhileItLoadsCancels() {
        val fixture = SessionFixture()
        fixture.whileLoading = { fixture.session.close() }
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        assertEquals(Phase.IDLE, fixture.state.phase)
        assertTrue(fixture.engines.isEmpty())
        assertNull(fixture.state.problem)
    }

    @Test
    fun closingTooLateToCancelFreesTheEngine() {
        val fixture = SessionFixture()
        fixture.prepare = { fixture.session.close() }
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        assertEquals(Phase.IDLE, fixture.state.phase)
        assertTrue(fixture.engine.isClosed)
    }

    @Test
    fun anotherBundleWhileOneLoadsWins() {
        val fixture = SessionFixture()
        var loads = 0
        fixture.whileLoading = { if (++loads == 1) fixture.session.open(File("b.mvlm")) }
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        assertEquals("b.mvlm", fixture.state.bundle)
        assertEquals(Phase.READY, fixture.state.phase)
        assertEquals(1, fixture.engines.count { !it.isClosed })
    }

    @Test
    fun closeAndOpenTheSameWhileItLoadsEndsLoaded() {
        val fixture = SessionFixture()
        var loads = 0
        fixture.whileLoading = {
            if (++loads == 1) {
                fixture.session.close()
                fixture.session.open(File("a.mvlm"))
            }
        }
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        assertEquals(Phase.READY, fixture.state.phase)
        assertEquals(2, loads)
    }

    @Test
    fun closingWhileAnsweringStopsFirst() {
        val fixture = SessionFixture().seen()
        fixture.engine.answers = { List(50) { "▁a" } }
        fixture.engine.meanwhile = { if (it == "piece 2") fixture.session.close() }
        fixture.asked("What?")
        assertEquals(SessionState(picture = fixture.state.picture), fixture.state)
        assertTrue(fixture.engine.isClosed)
        assertEquals("close", fixture.engine.calls.last())
    }

    @Test
    fun inTheBackgroundNothingBegins() {
        val fixture = SessionFixture()
        fixture.session.open(File("a.mvlm"))
        fixture.session.show(SessionFixture.picture(1), "What?")
        fixture.session.background()
        fixture.settle()
        assertEquals(listOf<String>(), fixture.engine.calls) // loaded, but idle
        fixture.session.foreground()
        fixture.settle()
        assertEquals("yes", fixture.state.turns.single().answer)
    }

    @Test
    fun goingToTheBackgroundStopsTheAnswer() {
        val fixture = SessionFixture().seen()
        fixture.engine.answers = { List(50) { "▁a" } }
        fixture.engine.meanwhile = { if (it == "piece 2") fixture.session.background() }
        fixture.asked("What?")
        assertEquals("a a a", fixture.state.turns.single().answer)
        assertEquals(Ended.STOPPED, fixture.state.turns.single().ended)
    }

    @Test
    fun memoryIsReleasedInTheBackgroundAndTheConversationRestored() {
        val fixture = SessionFixture().seen().asked("One?")
        fixture.session.releaseMemory()
        fixture.settle()
        assertFalse("only in the background", fixture.engine.isClosed)
        fixture.session.background()
        fixture.session.releaseMemory()
        fixture.settle()
        assertTrue(fixture.engine.isClosed)
        assertEquals(Phase.SUSPENDED, fixture.state.phase)
        assertEquals(listOf("One?"), fixture.state.turns.map { it.question })
        fixture.session.foreground()
        fixture.settle()
        assertEquals(2, fixture.engines.size)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals(fixture.prefix(1) + fixture.ids("\nOne? ASSISTANT: yes", "</s>"), fixture.engine.cache)
    }

    @Test
    fun releasingMemoryCancelsALoadThatReturningBeginsAgain() {
        val fixture = SessionFixture()
        var isCancelled = false
        fixture.whileLoading = { job ->
            fixture.whileLoading = {}
            fixture.session.background()
            fixture.session.releaseMemory()
            isCancelled = job.isCancelled
        }
        fixture.session.open(File("a.mvlm"))
        fixture.settle()
        assertTrue(isCancelled)
        assertEquals(0, fixture.engines.size)
        assertEquals(Phase.SUSPENDED to null, fixture.state.phase to fixture.state.problem)
        fixture.session.foreground()
        fixture.settle()
        assertEquals(Phase.READY, fixture.state.phase)
    }

    @Test
    fun returningBeforeMemoryIsReleasedKeepsTheModel() {
        val fixture = SessionFixture().seen()
        fixture.session.background()
        fixture.session.releaseMemory()
        fixture.session.foreground()
        fixture.settle()
        assertEquals(1, fixture.engines.size)
        assertEquals(1, fixture.engine.pictures)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
    }

    @Test
    fun aStateIsReportedOnceAndTheLastIsTheCurrentOne() {
        val fixture = SessionFixture().seen().asked("One?")
        assertEquals(fixture.states.last(), fixture.state)
        for ((before, after) in fixture.states.zip(fixture.states.drop(1))) assertTrue(before != after)
    }
}
