package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.bundle.ManifestReader
import org.mobilevlmkit.core.bundle.PromptSpec
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.prompt.Tokenizer
import java.io.File
import java.util.ArrayDeque
import java.util.concurrent.Executor

/** A session over [FakeEngine]s whose worker runs tasks only on request, so that tests control the order. */
class SessionFixture(maxContext: Int = 512, maxPrefill: Int = 512, addsSpace: Boolean = true) {
    val tasks = ArrayDeque<Runnable>()
    val states = ArrayList<SessionState>()
    val engines = ArrayList<FakeEngine>()
    val manifest: Manifest =
        demo.copy(maxContext = maxContext, maxPrefill = maxPrefill, prompt = if (addsSpace) demo.prompt else plainPrompt)
    val tokenizer = if (addsSpace) demoTokenizer else plainTokenizer

    /** Called in each load; may throw, or act as the user. */
    var whileLoading: (Job) -> Unit = {}
    var whileReadingTheClock: () -> Unit = {}
    var prepare: (FakeEngine) -> Unit = {}
    var fit = MemoryFit.FITS
    var onState: (SessionState) -> Unit = {}
    private var now = 0L

    val session = VlmSession(
        load = { folder, job ->
            whileLoading(job)
            job.step(1, 2)
            val engine = FakeEngine(tokenizer, maxPrefill, maxContext).also(prepare)
            engines.add(engine)
            LoadedModel(folder, manifest, engine, tokenizer, fit)
        },
        worker = Executor { tasks.add(it) },
        nanoTime = {
            whileReadingTheClock()
            now += 250_000_000
            now
        },
        listener = {
            states.add(it)
            onState(it)
        },
    )

    val engine: FakeEngine get() = engines.last()
    val state: SessionState get() = session.state

    /** Runs one task of the worker; returns false if there is none. */
    fun step(): Boolean {
        val task = tasks.poll() ?: return false
        check(tasks.isEmpty()) { "the session schedules one step at a time" }
        task.run()
        return true
    }

    /** Runs all tasks until nothing is left to do. */
    fun settle(): SessionFixture {
        var steps = 0
        while (step()) check(++steps < 100) { "the session never comes to rest" }
        return this
    }

    /** Opens a model and shows [picture]. */
    fun seen(picture: ArrayPicture = picture(1)): SessionFixture {
        session.open(File("a.mvlm"))
        session.show(picture)
        return settle()
    }

    fun asked(question: String, maxNewTokens: Int = 64): SessionFixture {
        check(session.ask(question, maxNewTokens))
        return settle()
    }

    /** The beginning of the engine's KV cache: the system text and [picture]. */
    fun prefix(picture: Int): List<Int> = listOf(1) + tokenizer.encode(manifest.prompt.beforeImage).asList() + List(36) { -1 - picture }

    /** Token ids of [texts] one by one. */
    fun ids(vararg texts: String): List<Int> = texts.flatMap { if (it == "</s>") listOf(2) else tokenizer.encode(it).asList() }

    companion object {
        private val demo = ManifestReader.read(Golden.file("manifests/good/demo.json"))
        private val demoTokenizer = Tokenizer.read(Golden.file("prompts/demo.tokenizer.json"))
        private val plainTokenizer = Tokenizer.read(Golden.file("prompts/plain.tokenizer.json"))
        private val plainPrompt = plain(demo.prompt)

        /** [demo] with the prompt texts for a tokenizer that adds no space. */
        fun plain(demo: PromptSpec): PromptSpec {
            val texts = Golden.json("prompts/plain.json")["prompt"] as Map<*, *>
            val (before, after, followUp) = listOf("before_image", "after_image", "follow_up").map { texts[it] as String }
            return demo.copy(beforeImage = before, afterImage = after, followUp = followUp)
        }

        /** Answers [pieces] to any question. */
        fun answering(vararg pieces: String): (String) -> List<String> = { pieces.asList() }

        /** A picture whose pixels all have the blue [value]. */
        fun picture(value: Int) = ArrayPicture(2, 2, IntArray(4) { value })
    }
}
