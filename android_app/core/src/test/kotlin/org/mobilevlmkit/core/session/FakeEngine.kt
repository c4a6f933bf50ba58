package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.prompt.EngineTokens
import org.mobilevlmkit.core.prompt.Tokenizer

/**
 * An engine that records ids in its KV cache instead of computing, and gives scripted answers. It mimics the real engine:
 * the last token of a truncated answer isn't fed, a stop id ends an answer, a failure loses the cache.
 */
class FakeEngine(private val tokenizer: Tokenizer, private val maxPrefill: Int, private val maxContext: Int) : VlmEngine {
    val cache = ArrayList<Int>()
    val calls = ArrayList<String>()
    var answers: (prompt: String) -> List<String> = { listOf("▁yes", "</s>") }

    /** A violation of the engine's contract: two calls at once, or a call after closing. */
    val violations = ArrayList<String>()

    /** Called with a name before each call and after each piece; may throw, or act as the user. */
    var meanwhile: (String) -> Unit = {}
    var isClosed = false
        private set
    var pictures = 0
        private set

    /** Whether an immediate end of text ends the answer; the C++ runner continues. */
    var stopsAtFirstEnd = true

    /** Whether the stop token's piece is reported. */
    var givesEnd = true
    private var isStopped = false
    private var isBusy = false

    override fun reset() = exclusively("reset") { cache.clear() }

    override fun prefillText(text: String) = exclusively("prefillText $text") { feed(text) }

    override fun prefillImage(pixels: ByteArray) = exclusively("prefillImage") {
        check(pixels.size == 3 * 168 * 168)
        pictures++
        repeat(36) { cache.add(pictureId(pixels)) }
        checkRoom()
    }

    override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) = exclusively("generate $text") {
        isStopped = false
        feed(text)
        check(cache.size == promptTokens) { "got $promptTokens tokens, expected ${cache.size}" }
        val pieces = answers(text)
        for (index in 0 until maxNewTokens) {
            val piece = pieces.getOrElse(index) { "</s>" }
            meanwhile("piece $index")
            if (piece != "</s>" || givesEnd) onPiece(piece)
            meanwhile("after piece $index")
            if (piece == "</s>" && (index > 0 || stopsAtFirstEnd)) break
            if (isStopped || index == maxNewTokens - 1) break
            cache.add(tokenizer.id(piece))
            checkRoom()
        }
    }

    override fun stop() {
        isStopped = true
    }

    override fun close() = try {
        exclusively("close") {}
    } finally {
        isClosed = true // even if that failed
    }

    private fun feed(text: String) {
        if (cache.isEmpty()) cache.add(1)
        val ids = EngineTokens.encode(tokenizer, text)
        check(ids.isNotEmpty() && ids.size <= maxPrefill) { "got ${ids.size} tokens in one call, expected 1 to $maxPrefill" }
        cache.addAll(ids.asList())
        checkRoom()
    }

    private fun checkRoom() = check(cache.size <= maxContext) { "got ${cache.size} tokens, expected at most $maxContext" }

    private fun exclusively(call: String, work: () -> Unit) {
        if (isBusy || isClosed) violations.add("$call: the engine is ${if (isClosed) "closed" else "busy"}")
        check(violations.isEmpty()) { violations.last() }
        isBusy = true
        try {
            calls.add(call)
            meanwhile(call.substringBefore(' '))
            work()
        } catch (error: Exception) {
            cache.clear()
            throw error
        } finally {
            isBusy = false
        }
    }

    companion object {
        /** The id that represents the image [pixels]. */
        fun pictureId(pixels: ByteArray): Int = -1 - (pixels.last().toInt() and 255)
    }
}
