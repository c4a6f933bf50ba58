package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/** What is said of one picture, and what the KV cache holds of it. */
class ConversationTest {
    @Test
    fun theAnswerGrowsPieceByPieceAndCharactersStayWhole() {
        val scene = Scene()
        scene.prepare = { it.answers = Scene.answering("▁A", "▁red", "<0xE4>", "<0xBD>", "<0xA0>", "</s>") }
        scene.seen().asked("What?")
        val shown = scene.states.mapNotNull { it.turns.lastOrNull()?.answer }.distinct()
        assertEquals(listOf("", "A", "A red", "A red你"), shown)
        assertEquals(5, scene.state.turns.last().stats!!.tokens)
    }

    @Test
    fun specialTokensAreNotShown() {
        val scene = Scene()
        scene.prepare = { it.answers = Scene.answering("▁A", "<s>", "▁circle", "<unk>", "</s>") }
        scene.seen().asked("What?")
        assertEquals("A circle", scene.state.turns.last().answer)
        assertEquals(4, scene.state.turns.last().stats!!.tokens)
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
        scene.engine.answers = Scene.answering("▁A", "▁red", "▁circle", "</s>")
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
        scene.prepare = { it.answers = Scene.answering("▁A", "▁red", "▁circle", "</s>") }
        scene.seen().asked("What?", maxNewTokens = 2)
        assertEquals(Ended.LENGTH, scene.state.turns.last().ended)
        assertEquals("A red", scene.state.turns.last().answer)
        scene.asked("Why?", maxNewTokens = 1)
        val fed =
            scene.ids("\nWhat? ASSISTANT:") + listOf("▁A", "▁red").map { scene.tokenizer.id(it) } +
                scene.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(scene.prefix(1) + fed, scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    /** The space in front of the last token, and of each part of a long question, is then the text's own. */
    @Test
    fun aTokenizerThatAddsNoSpaceIsFedTheSameIds() {
        val scene = Scene(maxPrefill = 40, addsSpace = false)
        scene.prepare = { it.answers = Scene.answering("▁A", "▁red", "▁circle", "</s>") }
        val long = "What is this? ".repeat(12).trim()
        scene.seen().asked(long, maxNewTokens = 2)
        scene.asked("Why?", maxNewTokens = 1)
        val fed =
            scene.ids(" \n$long ASSISTANT:") + listOf("▁A", "▁red").map { scene.tokenizer.id(it) } +
                scene.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(scene.prefix(1) + fed, scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    @Test
    fun aLastTokenInsideAWordIsLeftOut() {
        val scene = Scene()
        scene.prepare = { it.answers = Scene.answering("▁A", "<0xE4>", "<0xBD>", "</s>") }
        scene.seen().asked("What?", maxNewTokens = 2)
        assertEquals("A\uFFFD", scene.state.turns.last().answer)
        scene.asked("Why?")
        val fed = scene.ids("\nWhat? ASSISTANT:") + scene.tokenizer.id("▁A") + scene.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(scene.prefix(1) + fed + listOf("▁A", "<0xE4>", "<0xBD>").map { scene.tokenizer.id(it) }, scene.engine.cache)
        assertEquals(scene.engine.cache.size, scene.state.usedTokens)
    }

    @Test
    fun stopEndsTheAnswerAndKeepsWhatCame() {
        val scene = Scene().seen()
        scene.engine.answers = Scene.answering("▁A", "▁red", "▁circle", "</s>")
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

    /** Whether the engine has fed the last token then, it doesn't tell: the cache is filled anew. */
    @Test
    fun stopAfterTheLastPieceLosesAndDoublesNothing() {
        for (givesEnd in listOf(true, false)) {
            for (at in listOf("after piece 0", "after piece 1", "after piece 2")) {
                val scene = Scene().seen()
                scene.engine.givesEnd = givesEnd
                scene.engine.answers = Scene.answering("▁A", "▁red", "</s>")
                scene.engine.meanwhile = { if (it == at) scene.session.stop() }
                scene.asked("What?")
                val answer = scene.state.turns.single().answer
                assertEquals("$givesEnd, $at", if (at == "after piece 0") "A" else "A red", answer)
                scene.engine.meanwhile = {}
                scene.asked("Why?")
                val said = if (scene.engine.pictures == 1) {
                    scene.ids("\nWhat? ASSISTANT:") + answer.split(' ').map { scene.tokenizer.id("▁$it") }
                } else {
                    scene.ids("\nWhat? ASSISTANT: $answer")
                }
                val expected =
                    scene.prefix(1) + said + scene.ids("</s>", "USER: Why? ASSISTANT:") +
                        listOf("▁A", "▁red").map { scene.tokenizer.id(it) }
                assertEquals("$givesEnd, $at", expected, scene.engine.cache)
                assertEquals("$givesEnd, $at", scene.engine.cache.size, scene.state.usedTokens)
            }
        }
    }

    /** Going away takes back nothing that was asked. */
    @Test
    fun aQuestionForWhichTheCacheIsRebuiltWaitsInTheBackground() {
        val leaving = mapOf<String, Scene.() -> Unit>("background" to { session.background() }, "check" to { session.check { _, _ -> } })
        for ((wish, leave) in leaving) {
            val scene = Scene().seen()
            scene.engine.meanwhile = { if (it == "piece 0") error("lost") }
            scene.asked("What?")
            var isAway = false
            scene.engine.meanwhile = {
                if (it == "prefillImage" && !isAway) {
                    isAway = true
                    scene.leave()
                }
            }
            scene.asked("Again?")
            scene.session.foreground()
            scene.settle()
            val turns = listOf("What?" to Ended.FAILED, "Again?" to Ended.COMPLETE)
            assertEquals(wish, turns, scene.state.turns.map { it.question to it.ended })
        }
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
            it.answers = Scene.answering("</s>", "▁red", "▁circle")
        }
        scene.seen().asked("What?")
        assertEquals(ChatTurn("What?", "", Ended.COMPLETE, scene.state.turns.single().stats), scene.state.turns.single())
        scene.engine.answers = Scene.answering("▁yes", "</s>")
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
            val expected =
                scene.prefix(1) + scene.ids("\nOne? ASSISTANT: yes", "</s>", "USER: Three? ASSISTANT:") + scene.tokenizer.id("▁yes")
            assertEquals(expected, scene.engine.cache)
        }
    }
}
