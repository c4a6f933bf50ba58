package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import java.io.File

/** Bundles, pictures, phases and the life of the app. */
class VlmSessionTest {
    @Test
    fun thePictureIsEncodedWhileTheUserTypes() {
        val scene = Scene().seen()
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals(scene.prefix(1), scene.engine.cache)
        assertEquals(scene.prefix(1).size, scene.state.usedTokens)
        assertEquals(512, scene.state.maxTokens)
        scene.asked("What is this?")
        assertEquals(1, scene.engine.pictures)
        val turn = scene.state.turns.single()
        assertEquals(ChatTurn("What is this?", "yes", Ended.COMPLETE, turn.stats), turn)
        assertEquals(scene.prefix(1) + scene.ids("\nWhat is this? ASSISTANT:") + scene.tokenizer.id("▁yes"), scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
        assertEquals(1, turn.stats!!.tokens)
        assertTrue(turn.stats!!.imageS > 0 && turn.stats!!.firstTokenS > 0)
    }

    @Test
    fun everyPhaseIsShownInOrder() {
        val scene = Scene().seen().asked("What is this?")
        scene.session.close()
        scene.settle()
        val phases = scene.states.map { it.phase }.fold(emptyList<Phase>()) { all, phase ->
            if (all.lastOrNull() == phase) all else all + phase
        }
        assertEquals(listOf(Phase.LOADING, Phase.LOOKING, Phase.SEEN, Phase.ANSWERING, Phase.SEEN, Phase.IDLE), phases)
        assertEquals(0.5f, scene.states.maxOf { it.loadProgress })
        assertTrue(scene.engine.isClosed)
    }

    @Test
    fun aNewPictureResetsTheConversation() {
        val scene = Scene().seen().asked("What is this?")
        scene.session.show(Scene.picture(2))
        assertEquals(Phase.LOOKING, scene.state.phase)
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        scene.settle()
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals(scene.prefix(2), scene.engine.cache)
    }

    @Test
    fun aNewPictureWhileAnsweringStopsTheAnswer() {
        val scene = Scene().seen()
        scene.engine.answers = Scene.answering("▁A", "▁red", "▁circle", "</s>")
        scene.engine.meanwhile = { if (it == "piece 1") scene.session.show(Scene.picture(2)) }
        scene.session.ask("What?")
        scene.step()
        assertEquals(Phase.LOOKING, scene.state.phase)
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        scene.settle()
        assertEquals(scene.prefix(2), scene.engine.cache)
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        assertNull(scene.state.problem)
    }

    @Test
    fun theNewestPictureWins() {
        val scene = Scene()
        scene.session.open(File("a.mvlm"))
        for (value in 1..5) scene.session.show(Scene.picture(value))
        scene.settle()
        assertEquals(1, scene.engine.pictures)
        assertEquals(scene.prefix(5), scene.engine.cache)
        scene.engine.meanwhile = { if (it == "prefillImage" && scene.engine.pictures == 1) scene.session.show(Scene.picture(7)) }
        scene.session.show(Scene.picture(6))
        scene.settle()
        assertEquals(scene.prefix(7), scene.engine.cache)
        assertEquals(Phase.SEEN, scene.state.phase)
    }

    @Test
    fun aQuestionAskedEarlyWaits() {
        val scene = Scene()
        scene.session.open(File("a.mvlm"))
        assertFalse("without a picture", scene.session.ask("What?"))
        scene.session.show(Scene.picture(1))
        assertTrue(scene.session.ask("What?"))
        assertFalse("one waits already", scene.session.ask("Who?"))
        assertEquals("What?", scene.state.waitingQuestion)
        assertEquals(Phase.LOADING, scene.state.phase)
        scene.settle()
        assertNull(scene.state.waitingQuestion)
        assertEquals(listOf("What?"), scene.state.turns.map { it.question })
        assertFalse(scene.session.ask(" \n"))
    }

    @Test
    fun theNextQuestionMayBeAskedAsSoonAsTheAnswerIsSaidToHaveEnded() {
        val scene = Scene().seen()
        var asked = false
        scene.onState = {
            if (!asked && it.turns.lastOrNull()?.ended != null) {
                asked = true
                assertEquals(Phase.SEEN, it.phase)
                assertTrue(scene.session.ask("Why?"))
            }
        }
        scene.asked("What is this?")
        assertEquals(listOf("yes", "yes"), scene.state.turns.map { it.answer })
    }

    @Test
    fun aPictureWaitsUntilItIsBeingEncoded() {
        val waits = ArrayList<Boolean>()
        val scene = Scene()
        scene.whileLoading = { waits.add(scene.state.isPictureWaiting) }
        scene.prepare = { it.meanwhile = { call -> if (call == "prefillImage") waits.add(scene.state.isPictureWaiting) } }
        scene.seen()
        assertEquals(listOf(true, false), waits)
        assertEquals(Phase.LOOKING, scene.states.first { !it.isPictureWaiting && it.picture == scene.state.picture }.phase)
    }

    @Test
    fun aQuestionAboutTheOldPictureIsNotAskedOfTheNewOne() {
        val scene = Scene().seen()
        scene.session.ask("What was it?")
        scene.session.show(Scene.picture(2))
        scene.settle()
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        scene.session.show(Scene.picture(3), "What is it?")
        scene.settle()
        assertEquals(listOf("What is it?"), scene.state.turns.map { it.question })
        assertEquals(scene.prefix(3), scene.engine.cache.take(scene.prefix(3).size))
    }

    @Test
    fun aPictureThatCannotBeEncodedCanBeTriedAgain() {
        for (at in listOf("reset", "prefillText", "prefillImage")) {
            val scene = Scene().seen()
            scene.engine.meanwhile = { if (it == at) throw OutOfMemoryError("no room") }
            scene.session.show(Scene.picture(2))
            scene.settle()
            assertEquals(Problem.Engine("engine: no room"), scene.state.problem)
            scene.engine.meanwhile = {}
            scene.session.retry()
            scene.settle()
            assertNull(scene.state.problem)
            assertEquals(scene.prefix(2), scene.engine.cache)
        }
    }

    @Test
    fun aBundleThatCannotBeLoadedSaysWhyAndCanBeTriedAgain() {
        val problems = mapOf(
            BundleException("a.mvlm: model.pte: the file is damaged") to Problem.Bundle("a.mvlm: model.pte: the file is damaged"),
            MemoryException(2_000, 1_000) to Problem.Memory(2_000, 1_000),
            RuntimeException("no such operator") to Problem.Engine("engine: no such operator"),
        )
        for ((error, problem) in problems) {
            val scene = Scene()
            scene.whileLoading = { throw error }
            scene.session.open(File("a.mvlm"))
            scene.session.show(Scene.picture(1))
            scene.settle()
            assertEquals(problem, scene.state.problem)
            assertEquals(Phase.FAILED, scene.state.phase)
            scene.whileLoading = {}
            scene.session.retry()
            scene.settle()
            assertNull(scene.state.problem)
            assertEquals(Phase.SEEN, scene.state.phase)
        }
    }

    @Test
    fun aTightFitIsAWarningAndNoProblem() {
        val scene = Scene()
        scene.fit = MemoryFit.TIGHT
        scene.seen()
        assertEquals(MemoryFit.TIGHT, scene.state.memory)
        assertNull(scene.state.problem)
        scene.session.close()
        scene.settle()
        assertEquals(MemoryFit.FITS, scene.state.memory)
    }

    @Test
    fun closingWhileItLoadsCancels() {
        val scene = Scene()
        scene.whileLoading = { scene.session.close() }
        scene.session.open(File("a.mvlm"))
        scene.settle()
        assertEquals(Phase.IDLE, scene.state.phase)
        assertTrue(scene.engines.isEmpty())
        assertNull(scene.state.problem)
    }

    @Test
    fun closingTooLateToCancelFreesTheEngine() {
        val scene = Scene()
        scene.prepare = { scene.session.close() }
        scene.session.open(File("a.mvlm"))
        scene.settle()
        assertEquals(Phase.IDLE, scene.state.phase)
        assertTrue(scene.engine.isClosed)
    }

    @Test
    fun anotherBundleWhileOneLoadsWins() {
        val scene = Scene()
        var loads = 0
        scene.whileLoading = { if (++loads == 1) scene.session.open(File("b.mvlm")) }
        scene.session.open(File("a.mvlm"))
        scene.settle()
        assertEquals("b.mvlm", scene.state.bundle)
        assertEquals(Phase.READY, scene.state.phase)
        assertEquals(1, scene.engines.count { !it.isClosed })
    }

    @Test
    fun closeAndOpenTheSameWhileItLoadsEndsLoaded() {
        val scene = Scene()
        var loads = 0
        scene.whileLoading = {
            if (++loads == 1) {
                scene.session.close()
                scene.session.open(File("a.mvlm"))
            }
        }
        scene.session.open(File("a.mvlm"))
        scene.settle()
        assertEquals(Phase.READY, scene.state.phase)
        assertEquals(2, loads)
    }

    @Test
    fun closingWhileAnsweringStopsFirst() {
        val scene = Scene().seen()
        scene.engine.answers = { List(50) { "▁a" } }
        scene.engine.meanwhile = { if (it == "piece 2") scene.session.close() }
        scene.asked("What?")
        assertEquals(SessionState(picture = scene.state.picture), scene.state)
        assertTrue(scene.engine.isClosed)
        assertEquals("close", scene.engine.calls.last())
    }

    @Test
    fun inTheBackgroundNothingBegins() {
        val scene = Scene()
        scene.session.open(File("a.mvlm"))
        scene.session.show(Scene.picture(1), "What?")
        scene.session.background()
        scene.settle()
        assertEquals(listOf<String>(), scene.engine.calls) // loaded, but idle
        scene.session.foreground()
        scene.settle()
        assertEquals("yes", scene.state.turns.single().answer)
    }

    @Test
    fun goingToTheBackgroundStopsTheAnswer() {
        val scene = Scene().seen()
        scene.engine.answers = { List(50) { "▁a" } }
        scene.engine.meanwhile = { if (it == "piece 2") scene.session.background() }
        scene.asked("What?")
        assertEquals("a a a", scene.state.turns.single().answer)
        assertEquals(Ended.STOPPED, scene.state.turns.single().ended)
    }

    @Test
    fun memoryIsReleasedInTheBackgroundAndTheConversationComesBack() {
        val scene = Scene().seen().asked("One?")
        scene.session.releaseMemory()
        scene.settle()
        assertFalse("only in the background", scene.engine.isClosed)
        scene.session.background()
        scene.session.releaseMemory()
        scene.settle()
        assertTrue(scene.engine.isClosed)
        assertEquals(Phase.SUSPENDED, scene.state.phase)
        assertEquals(listOf("One?"), scene.state.turns.map { it.question })
        scene.session.foreground()
        scene.settle()
        assertEquals(2, scene.engines.size)
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals(scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>"), scene.engine.cache)
    }

    @Test
    fun comingBackBeforeTheMemoryWasReleasedKeepsTheModel() {
        val scene = Scene().seen()
        scene.session.background()
        scene.session.releaseMemory()
        scene.session.foreground()
        scene.settle()
        assertEquals(1, scene.engines.size)
        assertEquals(1, scene.engine.pictures)
        assertEquals(Phase.SEEN, scene.state.phase)
    }

    @Test
    fun aStateIsSaidOnceAndTheLastIsTheCurrentOne() {
        val scene = Scene().seen().asked("One?")
        assertEquals(scene.states.last(), scene.state)
        for ((before, after) in scene.states.zip(scene.states.drop(1))) assertTrue(before != after)
    }
}
