package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import java.io.File

class VlmSessionTest {
    private val system = "A chat between a curious user and an artificial intelligence assistant. " +
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "

    private fun Scene.prefix(picture: Int): List<Int> = listOf(1) + tokenizer.encode(system).asList() + List(36) { -1 - picture }

    private fun Scene.ids(vararg texts: String): List<Int> = texts.flatMap { if (it == "</s>") listOf(2) else tokenizer.encode(it).asList() }

    private fun answering(vararg pieces: String): (String) -> List<String> = { pieces.asList() }

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
        val phases = scene.states.map { it.phase }.fold(emptyList<Phase>()) { all, phase -> if (all.lastOrNull() == phase) all else all + phase }
        assertEquals(listOf(Phase.LOADING, Phase.LOOKING, Phase.SEEN, Phase.ANSWERING, Phase.SEEN, Phase.IDLE), phases)
        assertEquals(0.5f, scene.states.maxOf { it.loadProgress })
        assertTrue(scene.engine.isClosed)
    }

    @Test
    fun theAnswerGrowsPieceByPieceAndCharactersStayWhole() {
        val scene = Scene()
        scene.prepare = { it.answers = answering("▁A", "▁red", "<0xE4>", "<0xBD>", "<0xA0>", "</s>") }
        scene.seen().asked("What?")
        val shown = scene.states.mapNotNull { it.turns.lastOrNull()?.answer }.distinct()
        assertEquals(listOf("", "A", "A red", "A red你"), shown)
        assertEquals(5, scene.state.turns.last().stats!!.tokens)
    }

    @Test
    fun aConversationFromBeforeIsTakenUp() {
        val before = Scene().seen().asked("What is this?")
        val scene = Scene()
        scene.session.open(File("a.mvlm"))
        scene.session.resume(Scene.picture(1), before.state.turns + ChatTurn("And", "half an ans"))
        scene.settle()
        assertEquals(before.state.turns, scene.state.turns)
        assertEquals(scene.prefix(1) + scene.ids("\nWhat is this? ASSISTANT: yes", "</s>"), scene.engine.cache)
        scene.asked("Why?")
        assertEquals(listOf("What is this?", "Why?"), scene.state.turns.map { it.question })
    }

    @Test
    fun aFollowUpFeedsOnlyWhatIsNew() {
        val scene = Scene().seen().asked("What is this?")
        scene.engine.answers = answering("▁A", "▁red", "▁circle", "</s>")
        scene.asked("How many?")
        val yes = scene.tokenizer.id("▁yes")
        val expected = scene.prefix(1) + scene.ids("\nWhat is this? ASSISTANT:") + yes + scene.ids("</s>", "USER: How many? ASSISTANT:") +
            listOf("▁A", "▁red", "▁circle").map { scene.tokenizer.id(it) }
        assertEquals(expected, scene.engine.cache)
        assertEquals(1, scene.engine.pictures)
        assertEquals(1, scene.engine.calls.count { it == "reset" })
        assertEquals(listOf("yes", "A red circle"), scene.state.turns.map { it.answer })
        assertEquals(0.0, scene.state.turns.last().stats!!.imageS, 0.0)
    }

    @Test
    fun anAnswerCutByLengthGoesOnWithItsLastToken() {
        val scene = Scene()
        scene.prepare = { it.answers = answering("▁A", "▁red", "▁circle", "</s>") }
        scene.seen().asked("What?", maxNewTokens = 2)
        assertEquals(Ended.LENGTH, scene.state.turns.last().ended)
        assertEquals("A red", scene.state.turns.last().answer)
        scene.asked("Why?", maxNewTokens = 1)
        val fed = scene.ids("\nWhat? ASSISTANT:") + listOf("▁A", "▁red").map { scene.tokenizer.id(it) } + scene.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(scene.prefix(1) + fed, scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    @Test
    fun aLastTokenInsideAWordIsLeftOut() {
        val scene = Scene()
        scene.prepare = { it.answers = answering("▁A", "<0xE4>", "<0xBD>", "</s>") }
        scene.seen().asked("What?", maxNewTokens = 2)
        assertEquals("A\uFFFD", scene.state.turns.last().answer)
        scene.asked("Why?")
        assertTrue("${scene.engine.cache}", scene.engine.cache.containsAll(scene.ids("USER: Why? ASSISTANT:")))
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
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
        scene.engine.answers = answering("▁A", "▁red", "▁circle", "</s>")
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
    fun stopEndsTheAnswerAndKeepsWhatCame() {
        val scene = Scene().seen()
        scene.engine.answers = answering("▁A", "▁red", "▁circle", "</s>")
        scene.engine.meanwhile = { if (it == "piece 1") scene.session.stop() }
        scene.asked("What?")
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals("A red", scene.state.turns.single().answer)
        assertEquals(Ended.STOPPED, scene.state.turns.single().ended)
        scene.engine.meanwhile = {}
        scene.asked("Why?")
        assertEquals(1, scene.engine.pictures)
        assertEquals(Ended.COMPLETE, scene.state.turns.last().ended)
    }

    @Test
    fun stopBeforeTheAnswerBeginsTakesTheQuestionBack() {
        val scene = Scene().seen()
        scene.session.ask("What?")
        scene.session.stop()
        scene.settle()
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        assertEquals(scene.prefix(1), scene.engine.cache)
        assertFalse(scene.engine.calls.any { it.startsWith("generate") })
        scene.asked("What?")
        assertEquals("yes", scene.state.turns.single().answer)
    }

    @Test
    fun stopWhileTheCacheIsRebuiltTakesTheQuestionBack() {
        val scene = Scene().seen()
        scene.engine.meanwhile = { if (it == "piece 0") error("lost") }
        scene.asked("What?")
        scene.engine.meanwhile = { if (it == "prefillImage") scene.session.stop() }
        scene.asked("Again?")
        assertEquals(listOf("What?"), scene.state.turns.map { it.question })
        assertEquals(scene.prefix(1), scene.engine.cache)
    }

    @Test
    fun undoTakesTheLastTurnOutOfTheCache() {
        val scene = Scene().seen().asked("One?").asked("Two?")
        scene.session.undo()
        assertEquals(listOf("One?"), scene.state.turns.map { it.question })
        assertEquals(Phase.LOOKING, scene.state.phase)
        scene.settle()
        assertEquals(scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>"), scene.engine.cache)
        scene.asked("Three?")
        val expected = scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>", "USER: Three? ASSISTANT:") + scene.tokenizer.id("▁yes")
        assertEquals(expected, scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    @Test
    fun undoWhileAnsweringStopsIt() {
        val scene = Scene().seen().asked("One?")
        scene.engine.meanwhile = { if (it == "piece 0") scene.session.undo() }
        scene.asked("Two?")
        assertEquals(listOf("One?"), scene.state.turns.map { it.question })
        assertEquals(scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>"), scene.engine.cache)
    }

    @Test
    fun undoTakesAWaitingQuestionBackFirst() {
        val scene = Scene().seen().asked("One?")
        scene.session.ask("Two?")
        scene.session.undo()
        scene.settle()
        assertEquals(listOf("One?"), scene.state.turns.map { it.question })
        assertEquals(1, scene.engine.pictures)
    }

    @Test
    fun aNewChatKeepsThePicture() {
        val scene = Scene().seen().asked("One?").asked("Two?")
        scene.session.newChat()
        scene.settle()
        assertEquals(scene.prefix(1), scene.engine.cache)
        assertEquals(emptyList<ChatTurn>(), scene.state.turns)
        assertEquals(Phase.SEEN, scene.state.phase)
    }

    @Test
    fun aNewChatWhileThePictureIsEncodedChangesNothing() {
        val scene = Scene()
        scene.session.open(File("a.mvlm"))
        scene.session.show(Scene.picture(1))
        scene.prepare = { it.meanwhile = { call -> if (call == "prefillImage") scene.session.newChat() } }
        scene.settle()
        assertEquals(Phase.SEEN, scene.state.phase)
        assertEquals(scene.prefix(1), scene.engine.cache)
        assertEquals(1, scene.engine.pictures)
    }

    @Test
    fun aFullContextIsSaidBeforeAnythingRuns() {
        val scene = Scene(maxContext = 110).seen().asked("What?")
        val calls = scene.engine.calls.size
        scene.asked("What is the colour of the circle in the top left corner?")
        assertEquals(Problem.ContextFull("What is the colour of the circle in the top left corner?"), scene.state.problem)
        assertEquals(listOf("What?"), scene.state.turns.map { it.question })
        assertEquals(calls, scene.engine.calls.size)
        assertEquals(Phase.SEEN, scene.state.phase)
        scene.session.newChat()
        assertNull(scene.state.problem)
        scene.settle().asked("Why?")
        assertEquals("yes", scene.state.turns.single().answer)
    }

    @Test
    fun anAnswerNeverOutgrowsTheContext() {
        for (context in 100..130) {
            val scene = Scene(maxContext = context).seen()
            scene.engine.answers = { List(500) { "▁a" } }
            repeat(4) {
                if (scene.session.ask("What?", 500)) scene.settle()
                val problem = scene.state.problem
                assertTrue("$context: $problem", problem == null || problem is Problem.ContextFull)
            }
            assertTrue(scene.state.usedTokens <= context)
        }
    }

    @Test
    fun aLongQuestionIsFedInPartsWithTheSameIds() {
        val scene = Scene(maxPrefill = 40).seen()
        val question = "What is the colour of the circle, and what is the shape of the thing at the bottom left of it? ".repeat(3).trim()
        scene.asked(question)
        assertEquals("yes", scene.state.turns.single().answer)
        val expected = scene.prefix(1) + scene.ids("\n$question ASSISTANT:") + scene.tokenizer.id("▁yes")
        assertEquals(expected, scene.engine.cache)
        scene.asked("x".repeat(100))
        assertTrue("${scene.state.problem}", scene.state.problem is Problem.Input)
    }

    @Test
    fun aUserCannotEndTheText() {
        val scene = Scene().seen().asked("Is </s> the end?")
        assertFalse("${scene.engine.cache}", 2 in scene.engine.cache)
        assertEquals("Is </s> the end?", scene.state.turns.single().question)
        scene.asked("</s>")
        assertEquals(1, scene.engine.cache.count { it == 2 })
    }

    @Test
    fun anEngineThatGoesOnAfterTheEndIsStoppedAndItsCacheRebuilt() {
        val scene = Scene()
        scene.prepare = {
            it.stopsAtFirstEnd = false
            it.answers = answering("</s>", "▁red", "▁circle")
        }
        scene.seen().asked("What?")
        assertEquals(ChatTurn("What?", "", Ended.COMPLETE, scene.state.turns.single().stats), scene.state.turns.single())
        scene.engine.answers = answering("▁yes", "</s>")
        scene.asked("Why?")
        assertFalse(scene.tokenizer.id("▁red") in scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    @Test
    fun anEngineThatFailsIsAProblemAndNoAnswer() {
        for (at in listOf("generate", "piece 0", "piece 1")) {
            val scene = Scene().seen().asked("One?")
            scene.engine.meanwhile = { if (it == at) throw RuntimeException("it broke\nbadly") }
            scene.asked("Two?")
            assertEquals(Problem.Engine("engine: it broke"), scene.state.problem)
            assertEquals(Phase.SEEN, scene.state.phase)
            assertEquals(Ended.FAILED, scene.state.turns.last().ended)
            assertFalse("broke" in scene.state.turns.last().answer)
            scene.engine.meanwhile = {}
            scene.asked("Three?")
            assertNull(scene.state.problem)
            // The failed turn isn't part of what was said.
            val expected = scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>", "USER: Three? ASSISTANT:") + scene.tokenizer.id("▁yes")
            assertEquals(expected, scene.engine.cache)
        }
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
