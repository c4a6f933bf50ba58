package org.mobilevlmkit.enginehost

import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.check.GoldenRecords
import org.mobilevlmkit.core.pixels.SquarePixels
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/** Measures speed and memory of the engine with the bundle in [folder], in seconds and bytes, with the keys of `mvlm bench`. */
class EngineBench(private val folder: File) {
    private val manifest = BundleFiles.verify(folder)
    private val tokenizer = Tokenizer.read(File(folder, manifest.tokenizerJson))
    private val prompt = Prompt(manifest.prompt)
    private val golden = GoldenRecords.read(folder, manifest).first()
    private val pixels = SquarePixels(manifest.image).of(EngineServer.picture(golden.picture))
    private val question = prompt.afterImage(golden.record.question)
    private val asked = tokenizer.encode(prompt.beforeImage).size + 1 + manifest.image.tokens + tokenizer.encode(question).size

    fun run(): Map<String, Any?> {
        val empty = memory("empty")
        val began = System.nanoTime()
        val engine = DesktopEngine.open(folder, manifest)
        val loadS = seconds(began)
        val loaded = memory("loaded")
        val veryFirst = firstToken(engine)
        val used = memory("used")
        val warm = firstToken(engine)
        val figures = linkedMapOf<String, Any?>(
            "load_s" to loadS,
            "very_first_token_s" to veryFirst.sum(),
            "image_encode_s" to warm[0],
            "prepared_first_token_s" to warm[1],
            "first_token_s" to warm.sum(),
        )
        for (tokens in listOf(64, 512)) if (tokens <= manifest.maxPrefill) figures["prefill_${tokens}_tok_s"] = prefill(engine, tokens)
        figures["decode_tok_s"] = decode(engine)
        figures["decoded_after_tokens"] = asked
        val memory = listOf(empty, loaded, used, memory("end"))
        engine.close()
        return figures + mapOf("memory" to memory, "needed_bytes" to manifest.memoryBytes)
    }

    /** Seconds for the picture, and for the question up to the first token. */
    private fun firstToken(engine: VlmEngine): List<Double> {
        engine.reset()
        engine.prefillText(prompt.beforeImage)
        val began = System.nanoTime()
        engine.prefillImage(pixels)
        val shown = System.nanoTime()
        var first = 0L
        engine.generate(question, asked, 1) { if (first == 0L) first = System.nanoTime() }
        return listOf((shown - began) / 1e9, (first - shown) / 1e9)
    }

    /** Tokens per second of one call at the beginning of a context. */
    private fun prefill(engine: VlmEngine, tokens: Int): Double {
        engine.reset()
        var text = "a"
        while (tokenizer.encode("$text a").size < tokens) text += " a" // plus BOS
        val count = 1 + tokenizer.encode(text).size
        val began = System.nanoTime()
        engine.prefillText(text)
        return count / seconds(began)
    }

    /** Tokens per second of an answer after the first token. */
    private fun decode(engine: VlmEngine): Double {
        engine.reset()
        engine.prefillText(prompt.beforeImage)
        engine.prefillImage(pixels)
        val at = ArrayList<Long>()
        engine.generate(question, asked, DECODED) { at.add(System.nanoTime()) }
        return if (at.size < 2) 0.0 else (at.size - 1) / ((at.last() - at.first()) / 1e9)
    }

    private fun seconds(began: Long) = (System.nanoTime() - began) / 1e9

    /** Current memory of the process in bytes: private, and of mapped files. */
    private fun memory(at: String): Map<String, Any?> {
        System.gc()
        val rollup = values("/proc/self/smaps_rollup")
        val status = values("/proc/self/status")
        return mapOf(
            "at" to at,
            "private_bytes" to rollup.getValue("Anonymous"),
            "file_bytes" to status.getValue("RssFile"),
        )
    }

    private fun values(file: String): Map<String, Long> = File(file).readLines().mapNotNull { line ->
        val (name, value) = LINE.matchEntire(line)?.destructured ?: return@mapNotNull null
        name to value.toLong() * 1024
    }.toMap()

    private companion object {
        const val DECODED = 32
        val LINE = Regex("(\\w+):\\s+(\\d+) kB")
    }
}
