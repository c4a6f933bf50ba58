package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/** A conversation about one picture, and the KV cache's contents. */
class ConversationTest {
    @Test
    fun theAnswerGrowsPieceByPieceInCompleteCharacters() {
        val fixture = SessionFixture()
        fixture.prepare = { it.answers = SessionFixture.answering("▁A", "▁red", "<0xE4>", "<0xBD>", "<0xA0>", "</s>") }
        fixture.seen().asked("What?")
        val shown = fixture.states.mapNotNull { it.turns.lastOrNull()?.answer }.distinct()
        assertEquals(listOf("", "A", "A red", "A red你"), shown)
        assertEquals(5, fixture.state.turns.last().stats!!.tokens)
    }

    @Test
    fun specialTokensAreNotShown() {
        val fixture = SessionFixture()
        fixture.prepare = { it.answers = SessionFixture.answering("▁A", "<s>", "▁circle", "<unk>", "</s>") }
        fixture.seen().asked("What?")
        assertEquals("A circle", fixture.state.turns.last().answer)
        assertEquals(4, fixture.state.turns.last().stats!!.tokens)
    }

    @Test
    fun aConversationIsRestored() {
        val before = SessionFixture().seen().asked("What is this?")
        val fixture = SessionFixture()
        fixture.session.open(File("a.mvlm"))
        fixture.session.resume(SessionFixture.picture(1), before.state.turns + ChatTurn("And", "half an ans"))
        fixture.settle()
        assertEquals(before.state.turns, fixture.state.turns)
        assertEquals(fixture.prefix(1) + fixture.ids("\nWhat is this? ASSISTANT: yes", "</s>"), fixture.engine.cache)
        fixture.asked("Why?")
        assertEquals(listOf("What is this?", "Why?"), fixture.state.turns.map { it.question })
    }

    @Test
    fun aFollowUpFeedsOnlyWhatIsNew() {
        val fixture = SessionFixture().seen().asked("What is this?")
        fixture.engine.answers = SessionFixture.answering("▁A", "▁red", "▁circle", "</s>")
        fixture.asked("How many?")
        val yes = fixture.tokenizer.id("▁yes")
        val expected =
            fixture.prefix(1) + fixture.ids("\nWhat is this? ASSISTANT:") + yes + fixture.ids("</s>", "USER: How many? ASSISTANT:") +
                listOf("▁A", "▁red", "▁circle").map { fixture.tokenizer.id(it) }
        assertEquals(expected, fixture.engine.cache)
        assertEquals(1, fixture.engine.pictures)
        assertEquals(1, fixture.engine.calls.count { it == "reset" })
        assertEquals(listOf("yes", "A red circle"), fixture.state.turns.map { it.answer })
        assertEquals(0.0, fixture.state.turns.last().stats!!.imageS, 0.0)
    }

    @Test
    fun aTruncatedAnswerContinuesWithItsLastToken() {
        val fixture = SessionFixture()
        fixture.prepare = { it.answers = SessionFixture.answering("▁A", "▁red", "▁circle", "</s>") }
        fixture.seen().asked("What?", maxNewTokens = 2)
        assertEquals(Ended.LENGTH, fixture.state.turns.last().ended)
        assertEquals("A red", fixture.state.turns.last().answer)
        fixture.asked("Why?", maxNewTokens = 1)
        val fed =
            fixture.ids("\nWhat? ASSISTANT:") + listOf("▁A", "▁red").map { fixture.tokenizer.id(it) } +
                fixture.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(fixture.prefix(1) + fed, fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
    }

    /** The space before the last token and before each part of a long question then belongs to the text. */
    @Test
    fun aTokenizerThatAddsNoSpaceIsFedTheSameIds() {
        val fixture = SessionFixture(maxPrefill = 40, addsSpace = false)
        fixture.prepare = { it.answers = SessionFixture.answering("▁A", "▁red", "▁circle", "</s>") }
        val long = "What is this? ".repeat(12).trim()
        fixture.seen().asked(long, maxNewTokens = 2)
        fixture.asked("Why?", maxNewTokens = 1)
        val fed =
            fixture.ids(" \n$long ASSISTANT:") + listOf("▁A", "▁red").map { fixture.tokenizer.id(it) } +
                fixture.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(fixture.prefix(1) + fed, fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
    }

    @Test
    fun aLastTokenInsideAWordIsLeftOut() {
        val fixture = SessionFixture()
        fixture.prepare = { it.answers = SessionFixture.answering("▁A", "<0xE4>", "<0xBD>", "</s>") }
        fixture.seen().asked("What?", maxNewTokens = 2)
        assertEquals("A\uFFFD", fixture.state.turns.last().answer)
        fixture.asked("Why?")
        val fed = fixture.ids("\nWhat? ASSISTANT:") + fixture.tokenizer.id("▁A") + fixture.ids("</s>", "USER: Why? ASSISTANT:")
        assertEquals(fixture.prefix(1) + fed + listOf("▁A", "<0xE4>", "<0xBD>").map { fixture.tokenizer.id(it) }, fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
    }

    @Test
    fun stopEndsTheAnswerAndKeepsWhatCame() {
        val fixture = SessionFixture().seen()
        fixture.engine.answers = SessionFixture.answering("▁A", "▁red", "▁circle", "</s>")
        fixture.engine.meanwhile = { if (it == "piece 1") fixture.session.stop() }
        fixture.asked("What?")
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals("A red", fixture.state.turns.single().answer)
        assertEquals(Ended.STOPPED, fixture.state.turns.single().ended)
        fixture.engine.meanwhile = {}
        fixture.asked("Why?")
        assertEquals(1, fixture.engine.pictures)
        assertEquals(Ended.COMPLETE, fixture.state.turns.last().ended)
    }

    @Test
    fun stopBeforeTheAnswerBeginsWithdrawsTheQuestion() {
        val fixture = SessionFixture().seen()
        fixture.session.ask("What?")
        fixture.session.stop()
        fixture.settle()
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        assertEquals(fixture.prefix(1), fixture.engine.cache)
        assertFalse(fixture.engine.calls.any { it.startsWith("generate") })
        fixture.asked("What?")
        assertEquals("yes", fixture.state.turns.single().answer)
    }

    @Test
    fun stopWhileTheCacheIsRebuiltWithdrawsTheQuestion() {
        val fixture = SessionFixture().seen()
        fixture.engine.meanwhile = { if (it == "piece 0") error("lost") }
        fixture.asked("What?")
        fixture.engine.meanwhile = { if (it == "prefillImage") fixture.session.stop() }
        fixture.asked("Again?")
        assertEquals(listOf("What?"), fixture.state.turns.map { it.question })
        assertEquals(fixture.prefix(1), fixture.engine.cache)
    }

    /** The engine doesn't report whether it has fed the last token then, so the cache is filled again. */
    @Test
    fun stopAfterTheLastPieceLosesAndDoublesNothing() {
        for (givesEnd in listOf(true, false)) {
            for (at in listOf("after piece 0", "after piece 1", "after piece 2")) {
                val fixture = SessionFixture().seen()
                fixture.engine.givesEnd = givesEnd
                fixture.engine.answers = SessionFixture.answering("▁A", "▁red", "</s>")
                fixture.engine.meanwhile = { if (it == at) fixture.session.stop() }
                fixture.asked("What?")
                val answer = fixture.state.turns.single().answer
                assertEquals("$givesEnd, $at", if (at == "after piece 0") "A" else "A red", answer)
                fixture.engine.meanwhile = {}
                fixture.asked("Why?")
                val said = if (fixture.engine.pictures == 1) {
                    fixture.ids("\nWhat? ASSISTANT:") + answer.split(' ').map { fixture.tokenizer.id("▁$it") }
                } else {
                    fixture.ids("\nWhat? ASSISTANT: $answer")
                }
                val expected =
                    fixture.prefix(1) + said + fixture.ids("</s>", "USER: Why? ASSISTANT:") +
                        listOf("▁A", "▁red").map { fixture.tokenizer.id(it) }
                assertEquals("$givesEnd, $at", expected, fixture.engine.cache)
                assertEquals("$givesEnd, $at", fixture.engine.cache.size, fixture.state.usedTokens)
            }
        }
    }

    /** Going to the background doesn't withdraw a question. */
    @Test
    fun aQuestionForWhichTheCacheIsRebuiltWaitsInTheBackground() {
        val leaving = mapOf<String, SessionFixture.() -> Unit>(
            "background" to { session.background() },
            "check" to { session.check { _, _ -> } },
        )
        for ((request, leave) in leaving) {
            val fixture = SessionFixture().seen()
            fixture.engine.meanwhile = { if (it == "piece 0") error("lost") }
            fixture.asked("What?")
            var isAway = false
            fixture.engine.meanwhile = {
                if (it == "prefillImage" && !isAway) {
                    isAway = true
                    fixture.leave()
                }
            }
            fixture.asked("Again?")
            fixture.session.foreground()
            fixture.settle()
            val turns = listOf("What?" to Ended.FAILED, "Again?" to Ended.COMPLETE)
            assertEquals(request, turns, fixture.state.turns.map { it.question to it.ended })
        }
    }

    @Test
    fun undoRemovesTheLastTurnFromTheCache() {
        val fixture = SessionFixture().seen().asked("One?").asked("Two?")
        fixture.session.undo()
        assertEquals(listOf("One?"), fixture.state.turns.map { it.question })
        assertEquals(Phase.ENCODING, fixture.state.phase)
        fixture.settle()
        assertEquals(fixture.prefix(1) + fixture.ids("\nOne? ASSISTANT: yes", "</s>"), fixture.engine.cache)
        fixture.asked("Three?")
        val expected =
            fixture.prefix(1) + fixture.ids("\nOne? ASSISTANT: yes", "</s>", "USER: Three? ASSISTANT:") + fixture.tokenizer.id("▁yes")
        assertEquals(expected, fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
    }

    @Test
    fun undoWhileAnsweringStopsIt() {
        val fixture = SessionFixture().seen().asked("One?")
        fixture.engine.meanwhile = { if (it == "piece 0") fixture.session.undo() }
        fixture.asked("Two?")
        assertEquals(listOf("One?"), fixture.state.turns.map { it.question })
        assertEquals(fixture.prefix(1) + fixture.ids("\nOne? ASSISTANT: yes", "</s>"), fixture.engine.cache)
    }

    @Test
    fun undoWithdrawsAQueuedQuestionFirst() {
        val fixture = SessionFixture().seen().asked("One?")
        fixture.session.ask("Two?")
        fixture.session.undo()
        fixture.settle()
        assertEquals(listOf("One?"), fixture.state.turns.map { it.question })
        assertEquals(1, fixture.engine.pictures)
    }

    @Test
    fun aNewChatKeepsThePicture() {
        val fixture = SessionFixture().seen().asked("One?").asked("Two?")
        fixture.session.newChat()
        fixture.settle()
        assertEquals(fixture.prefix(1), fixture.engine.cache)
        assertEquals(emptyList<ChatTurn>(), fixture.state.turns)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
    }

    @Test
    fun aNewChatWhileThePictureIsEncodedChangesNothing() {
        val fixture = SessionFixture()
        fixture.session.open(File("a.mvlm"))
        fixture.session.show(SessionFixture.picture(1))
        fixture.prepare = { it.meanwhile = { call -> if (call == "prefillImage") fixture.session.newChat() } }
        fixture.settle()
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        assertEquals(fixture.prefix(1), fixture.engine.cache)
        assertEquals(1, fixture.engine.pictures)
    }

    @Test
    fun aFullContextIsReportedBeforeAnythingRuns() {
        val fixture = SessionFixture(maxContext = 110).seen().asked("What?")
        val calls = fixture.engine.calls.size
        fixture.asked("What is the colour of the circle in the top left corner?")
        assertEquals(Problem.ContextFull("What is the colour of the circle in the top left corner?"), fixture.state.problem)
        assertEquals(listOf("What?"), fixture.state.turns.map { it.question })
        assertEquals(calls, fixture.engine.calls.size)
        assertEquals(Phase.IMAGE_READY, fixture.state.phase)
        fixture.session.newChat()
        assertNull(fixture.state.problem)
        fixture.settle().asked("Why?")
        assertEquals("yes", fixture.state.turns.single().answer)
    }

    @Test
    fun anAnswerNeverOutgrowsTheContext() {
        for (context in 100..130) {
            val fixture = SessionFixture(maxContext = context).seen()
            fixture.engine.answers = { List(500) { "▁a" } }
            repeat(4) {
                if (fixture.session.ask("What?", 500)) fixture.settle()
                val problem = fixture.state.problem
                assertTrue("$context: $problem", problem == null || problem is Problem.ContextFull)
            }
            assertTrue(fixture.state.usedTokens <= context)
        }
    }

    @Test
    fun aLongQuestionIsFedInPartsWithTheSameIds() {
        val fixture = SessionFixture(maxPrefill = 40).seen()
        val question = "What is the colour of the circle, and what is the shape of the thing at the bottom left of it? ".repeat(3).trim()
        fixture.asked(question)
        assertEquals("yes", fixture.state.turns.single().answer)
        val expected = fixture.prefix(1) + fixture.ids("\n$question ASSISTANT:") + fixture.tokenizer.id("▁yes")
        assertEquals(expected, fixture.engine.cache)
        fixture.asked("x".repeat(100))
        assertTrue("${fixture.state.problem}", fixture.state.problem is Problem.Input)
    }

    @Test
    fun aUserCannotEndTheText() {
        val fixture = SessionFixture().seen().asked("Is </s> the end?")
        assertFalse("${fixture.engine.cache}", 2 in fixture.engine.cache)
        assertEquals("Is </s> the end?", fixture.state.turns.single().question)
        fixture.asked("</s>")
        assertEquals(1, fixture.engine.cache.count { it == 2 })
    }

    @Test
    fun anEngineThatContinuesAfterTheEndIsStoppedAndItsCacheRebuilt() {
        val fixture = SessionFixture()
        fixture.prepare = {
            it.stopsAtFirstEnd = false
            it.answers = SessionFixture.answering("</s>", "▁red", "▁circle")
        }
        fixture.seen().asked("What?")
        assertEquals(ChatTurn("What?", "", Ended.COMPLETE, fixture.state.turns.single().stats), fixture.state.turns.single())
        fixture.engine.answers = SessionFixture.answering("▁yes", "</s>")
        fixture.asked("Why?")
        assertFalse(fixture.tokenizer.id("▁red") in fixture.engine.cache)
        assertEquals(fixture.engine.cache.size, fixture.state.usedTokens)
    }

    @Test
    fun anEngineThatFailsIsAProblemAndNoAnswer() {
        for (at in listOf("generate", "piece 0", "piece 1")) {
            val fixture = SessionFixture().seen().asked("One?")
            fixture.engine.meanwhile = { if (it == at) throw RuntimeException("it broke\nbadly") }
            fixture.asked("Two?")
            assertEquals(Problem.Engine("engine: it broke"), fixture.state.problem)
            assertEquals(Phase.IMAGE_READY, fixture.state.phase)
            assertEquals(Ended.FAILED, fixture.state.turns.last().ended)
            assertFalse("broke" in fixture.state.turns.last().answer)
            fixture.engine.meanwhile = {}
            fixture.asked("Three?")
            assertNull(fixture.state.problem)
            // The failed turn isn't part of the history.
            val expected =
                fixture.prefix(1) + fixture.ids("\nOne? ASSISTANT: yes", "</s>", "USER: Three? ASSISTANT:") + fixture.tokenizer.id("▁yes")
            assertEquals(expected, fixture.engine.cache)
        }
    }
}
