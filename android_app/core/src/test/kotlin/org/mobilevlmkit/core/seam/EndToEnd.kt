package org.mobilevlmkit.core.seam

import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.bundle.BundleStore
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.CaptureWriter
import org.mobilevlmkit.core.check.CheckReport
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.check.SelfCheck
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.ModelLoader
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.SessionState
import org.mobilevlmkit.core.session.VlmEngine
import org.mobilevlmkit.core.session.VlmSession
import java.io.File
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

/**
 * End to end with a real engine: a zipped bundle is imported, verified, loaded and asked, and answers like Python's runner.
 * Uses the folder that [Seam] reads.
 */
abstract class EndToEnd {
    @get:Rule
    val temporary = TemporaryFolder()
    private val worker = Executors.newSingleThreadExecutor()
    private val states = LinkedBlockingQueue<SessionState>()
    private var shown = 0
    private val session = VlmSession(
        load = ModelLoader("executorch", { folder, manifest -> openEngine(folder, manifest) }, availableMemory = { 1L shl 40 })::load,
        worker = worker,
        listener = { states.add(it) },
    )

    protected abstract fun openEngine(folder: File, manifest: Manifest): VlmEngine

    protected abstract fun openMethods(folder: File, manifest: Manifest): ModelMethods

    @After
    fun close() {
        session.close()
        repeat(2) { worker.submit {}.get(180, TimeUnit.SECONDS) } // everything running has returned and finished its follow-up work
        worker.shutdown()
        assertTrue(worker.awaitTermination(60, TimeUnit.SECONDS))
    }

    private fun await(what: String, isThere: (SessionState) -> Boolean): SessionState {
        while (true) {
            val state = states.poll(180, TimeUnit.SECONDS) ?: throw AssertionError("no $what, but ${session.state}")
            assertEquals(what, null, state.problem)
            if (isThere(state)) return state
        }
    }

    private fun open() {
        val store = BundleStore(File(temporary.root, "bundles"))
        val bundle = store.import("demo.mvlm.zip", { Seam.file("demo.mvlm.zip").inputStream() })
        session.open(bundle.folder)
        await("model") { it.phase == Phase.READY }
    }

    private fun show(case: Map<*, *>) {
        shown = session.show(Seam.picture(case["picture"] as String))
        await("picture") { it.picture == shown && it.phase == Phase.IMAGE_READY }
    }

    private fun ask(question: String, maxNewTokens: Int): ChatTurn {
        assertTrue(session.ask(question, maxNewTokens))
        val asked = session.state.run { turns.size + if (waitingQuestion != null) 1 else 0 }
        return await(question) { it.picture == shown && it.turns.size >= asked && it.turns.last().ended != null }.turns.last()
    }

    /** One session from import to capture, because loading the engine takes most of the time. */
    @Test
    fun theSessionAnswersLikeMvlmAsk() {
        open()
        everyAnswerIsThatOfMvlmAsk()
        anUndoneQuestionLeavesNoTrace()
        stoppingEndsTheAnswerAndTheNextOneIsComplete()
        thePhoneIsCheckedAndCaptured()
    }

    private fun everyAnswerIsThatOfMvlmAsk() {
        for (case in Seam.cases) {
            show(case)
            for (turn in Seam.turns(case)) {
                val got = ask(turn["question"] as String, (turn["max_new_tokens"] as Long).toInt())
                val where = "${case["picture"]}: ${turn["question"]}"
                assertEquals(where, turn["answer"], got.answer)
                assertEquals(where, turn["ended"], got.ended!!.name)
                assertEquals(where, turn["tokens"], got.stats!!.tokens.toLong())
            }
            assertEquals("${case["picture"]}: tokens in the KV cache", case["used_tokens"], session.state.usedTokens.toLong())
        }
        assertEquals(Seam.given["turns"], Seam.cases.sumOf { Seam.turns(it).size }.toLong())
    }

    /** Lost contents of the engine's cache are restored as text, and the next answer is the same. */
    private fun anUndoneQuestionLeavesNoTrace() {
        val case = Seam.cases.first { Seam.turns(it).size > 1 }
        val (first, second) = Seam.turns(case)
        show(case)
        ask(first["question"] as String, 80)
        ask("What color is the object at the top right?", 3)
        session.undo()
        await("undone") { it.phase == Phase.IMAGE_READY && it.turns.size == 1 }
        assertEquals(second["answer"], ask(second["question"] as String, 80).answer)
    }

    private fun stoppingEndsTheAnswerAndTheNextOneIsComplete() {
        val case = Seam.cases.first { Seam.turns(it).size > 1 }
        show(case)
        session.ask("Describe the image.")
        await("first words") { it.turns.lastOrNull()?.answer?.isNotEmpty() == true }
        session.stop()
        val stopped = await("the end") { it.turns.lastOrNull()?.ended != null }.turns.last()
        assertTrue(stopped.answer, (Seam.given["described"] as String).startsWith(stopped.answer))
        session.newChat()
        await("new chat") { it.phase == Phase.IMAGE_READY && it.turns.isEmpty() }
        assertEquals(Seam.turns(case).first()["answer"], ask(Seam.turns(case).first()["question"] as String, 80).answer)
    }

    private fun thePhoneIsCheckedAndCaptured() {
        var report: CheckReport? = null
        session.check { model, job ->
            report = SelfCheck(model, Seam::picture).run(job)
            model.release()
            val capture = openMethods(model.folder, model.manifest).use {
                report!!.capture(report!!.mostInformative!!, model, it, mapOf("model" to "a JVM"))
            }
            CaptureWriter.write(capture, Seam.file("capture.zip"))
        }
        await("the check") { it.phase == Phase.CHECKING }
        await("its end") { it.phase != Phase.CHECKING }
        assertEquals(emptyList<String>(), report!!.findings.filterNot { it.same }.map { it.line })
        assertEquals(3, report!!.records.size)
        assertTrue("${report!!.measurements}", report!!.measurements.run { minOf(loadS, imageEncodeS, prefillS, decodeTokensPerS) > 0 })
    }
}
