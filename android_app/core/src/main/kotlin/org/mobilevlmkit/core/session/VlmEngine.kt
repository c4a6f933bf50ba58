package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.bundle.Manifest
import java.io.Closeable
import java.io.File

/**
 * A loaded model with one KV cache: the interface between the core and what runs the program (on Android, ExecuTorch's `LlmModule`).
 *
 * All calls except [stop] come from one thread. Any exception means that the KV cache is lost; the core then fills it again.
 */
interface VlmEngine : Closeable {
    /** Empties the KV cache. */
    fun reset()

    /**
     * Tokenizes [text] and appends it to the KV cache in one call of `text_decoder`; it never exceeds `max_prefill` tokens. The
     * first text after [reset] is preceded by the BOS token, later ones aren't.
     */
    fun prefillText(text: String)

    /** Encodes [pixels], uint8 [3, S, S], and appends the image's tokens to the KV cache. */
    fun prefillImage(pixels: ByteArray)

    /**
     * Appends [text] like [prefillText], then decodes greedily: at most [maxNewTokens] tokens, up to a stop token. Returns after the
     * last piece.
     *
     * @param promptTokens tokens in the KV cache including [text]; an engine that limits the whole sequence adds [maxNewTokens]
     * @param onPiece receives each token's piece (such as `▁the` or `<0xE4>`), including the stop token's if the engine reports it
     */
    fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit)

    /**
     * Ends a running [generate] after its current token; returns at once. May be called from any thread, also within `onPiece`;
     * when nothing is running, it has no effect, not even on a later [generate].
     */
    fun stop()
}

/** Loads the program and the tokenizer of a verified bundle. */
fun interface EngineFactory {
    fun open(folder: File, manifest: Manifest): VlmEngine
}
