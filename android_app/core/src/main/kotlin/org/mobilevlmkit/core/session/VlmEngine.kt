package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.bundle.Manifest
import java.io.Closeable
import java.io.File

/**
 * A loaded model with one KV cache: the seam between the core and what runs the program (on Android, ExecuTorch's `LlmModule`).
 *
 * All calls come from one thread, [stop] apart. Any exception means that the KV cache is lost; the core then starts it anew.
 */
interface VlmEngine : Closeable {
    /** Empties the KV cache. */
    fun reset()

    /**
     * Tokenizes [text] and appends it to the KV cache, in one call of `text_decoder`: it is never longer than `max_prefill`. The
     * first text after [reset] gets the beginning-of-text token in front, no other one does.
     */
    fun prefillText(text: String)

    /** Encodes [pixels], uint8 [3, S, S], and appends the picture's tokens to the KV cache. */
    fun prefillImage(pixels: ByteArray)

    /**
     * Appends [text] as [prefillText] does, then decodes greedily: at most [maxNewTokens] tokens, up to a stop id. Returns when the
     * last piece was given.
     *
     * @param promptTokens tokens in the KV cache once [text] is in it; an engine that counts a whole sequence adds [maxNewTokens]
     * @param onPiece each token's own piece (such as `▁the` or `<0xE4>`), that of the stop id included if the engine gives it
     */
    fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit)

    /**
     * Ends a running [generate] after its current token, and returns at once. May be called from any thread, also from within `onPiece`;
     * when nothing runs, it does nothing, and no later [generate] feels it.
     */
    fun stop()
}

/** Loads the program and the tokenizer of the verified bundle in [File]. */
fun interface EngineFactory {
    fun open(folder: File, manifest: Manifest): VlmEngine
}
