package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Turn
import java.io.File
import java.util.Random
import java.util.concurrent.Executors
import java.util.concurrent.TimeUnit

/** Requests in any order, before, between and during steps: the session always ends in the state that the last request asked for. */
class VlmSessionRandomTest {
    private class Run(private val random: Random) {
        val fixture = SessionFixture(maxContext = 200 + random.nextInt(200), maxPrefill = 60, addsSpace = random.nextBoolean())
        private val requests = ArrayList<String>()
        private var budget = 12 // requests made in the middle of steps
        private var picture = 0
        private var mayFail = true

        init {
            fixture.whileLoading = { interfere("loading") }
            fixture.prepare = { engine ->
                engine.answers = { List(random.nextInt(6)) { listOf("▁yes", "▁A", "▁red", "<0xE4>", "s")[random.nextInt(5)] } + "</s>" }
                engine.stopsAtFirstEnd = random.nextBoolean()
                engine.meanwhile = { interfere(it) }
            }
        }

        private fun interfere(at: String) {
            if (budget > 0 && random.nextInt(6) == 0) {
                budget--
                request()
            }
            val fails = mayFail && random.nextInt(60) == 0
            if (fails) throw if (at == "loading") BundleException("damaged") else RuntimeException("failed at $at")
        }

        private fun request() {
            val session = fixture.session
            val request = random.nextInt(14)
            requests.add("$request")
            when (request) {
                0 -> session.open(File("a.mvlm"))
                1 -> session.open(File("b.mvlm"))
                2 -> session.close()
                3, 4 -> session.show(SessionFixture.picture(++picture % 128))
                5 -> session.show(SessionFixture.picture(++picture % 128), "What is </s> this?")
                6, 7 -> session.ask("What is the colour of it?", 1 + random.nextInt(8))
                8 -> session.stop()
                9 -> session.undo()
                10 -> session.newChat()
                11 -> session.retry()
                12 -> if (random.nextBoolean()) session.background() else session.releaseMemory()
                else -> session.foreground()
            }
        }

        fun play() {
            repeat(5 + random.nextInt(20)) {
                request()
                repeat(random.nextInt(3)) { fixture.step() }
            }
            // The user returns, and nothing fails from here on.
            mayFail = false
            budget = 0
            fixture.session.open(File("c.mvlm"))
            fixture.session.foreground()
            fixture.session.show(SessionFixture.picture(99))
            fixture.settle()
            requireAtRest("new picture")
            repeat(3) {
                fixture.session.ask("Why?", 3)
                fixture.settle()
                requireAtRest("asked")
                if (random.nextBoolean()) fixture.session.undo()
                fixture.settle()
                requireAtRest("undone")
            }
            fixture.session.close()
            fixture.settle()
            assertEquals("$requests", SessionState(picture = fixture.state.picture), fixture.state)
            assertTrue("$requests", fixture.engines.all { it.isClosed })
        }

        /** The state and the engine's cache agree. */
        private fun requireAtRest(after: String) {
            val state = fixture.state
            assertEquals("$after: $requests", Phase.IMAGE_READY, state.phase)
            assertTrue("$after: $requests: ${state.problem}", state.problem == null || state.problem is Problem.ContextFull)
            assertEquals("$after: $requests", 1, fixture.engines.count { !it.isClosed })
            assertTrue("$after: $requests", state.turns.all { it.ended != null })
            val cache = fixture.engine.cache
            val prompt = Prompt(fixture.manifest.prompt)
            val prefix = listOf(1) + fixture.tokenizer.encode(prompt.beforeImage).asList() + List(36) { -1 - 99 }
            assertEquals("$after: $requests", prefix, cache.take(prefix.size))
            val text = state.turns.mapIndexed { index, turn ->
                if (index == 0) prompt.afterImage(turn.question) else prompt.followUp(turn.question)
            }
            for (asked in text) {
                val ids = fixture.tokenizer.encode(asked).asList()
                assertTrue("$after: $requests: $asked", cache.windowed(ids.size).any { it == ids })
            }
            val ends = cache.count { it == 2 }
            assertTrue(
                "$after: $requests: $ends ends in ${state.turns.size} turns",
                ends in maxOf(0, state.turns.size - 1)..state.turns.size,
            )
        }
    }

    @Test
    fun anyOrderEndsInTheLastRequestedState() {
        for (seed in 1L..1_500L) {
            try {
                Run(Random(seed)).play()
            } catch (error: Throwable) {
                throw AssertionError("seed $seed: $error", error)
            }
        }
    }

    /** With a real worker and several requesting threads: no deadlock, no lost request, one engine at a time. */
    @Test
    fun realThreadsEndInTheLastRequestedState() {
        val worker = Executors.newSingleThreadExecutor()
        val made = java.util.concurrent.CopyOnWriteArrayList<FakeEngine>()
        val fixture = SessionFixture()
        val session = VlmSession(
            load = { folder, _ ->
                val engine = FakeEngine(fixture.tokenizer, 512, 512)
                engine.answers = { List(40) { "▁a" } }
                made.add(engine)
                LoadedModel(folder, fixture.manifest, engine, fixture.tokenizer)
            },
            worker = worker,
            listener = {},
        )
        val users = List(3) { user ->
            Thread {
                val random = Random(user.toLong())
                repeat(400) {
                    when (random.nextInt(7)) {
                        0 -> session.open(File("${random.nextInt(2)}.mvlm"))
                        1 -> session.show(SessionFixture.picture(random.nextInt(100)))
                        2 -> session.ask("What?", 20)
                        3 -> session.stop()
                        4 -> session.undo()
                        5 -> session.newChat()
                        else -> Thread.yield()
                    }
                }
            }
        }
        users.forEach { it.start() }
        users.forEach { it.join(60_000) }
        assertTrue(users.none { it.isAlive })
        session.open(File("end.mvlm"))
        session.show(SessionFixture.picture(5), "Why?", 3)
        val until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
        while (session.state.turns.lastOrNull()?.ended == null && System.nanoTime() < until) Thread.sleep(1)
        assertEquals(Ended.LENGTH, session.state.turns.single().ended)
        assertEquals("a a a", session.state.turns.single().answer)
        assertEquals(1, made.count { !it.isClosed })
        worker.submit {}.get(60, TimeUnit.SECONDS) // it has returned from the answer and finishes its queue before it ends
        session.close()
        worker.shutdown()
        assertTrue(worker.awaitTermination(60, TimeUnit.SECONDS))
        assertTrue(made.all { it.isClosed })
    }
}
