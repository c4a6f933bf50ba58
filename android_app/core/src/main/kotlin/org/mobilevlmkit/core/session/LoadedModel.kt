package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.MobileVlmException
import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.pixels.SquarePixels
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Tokenizer
import java.io.File

/** The phone has too little memory for the model. */
class MemoryException(val neededBytes: Long, val availableBytes: Long) :
    MobileVlmException("memory: got ${availableBytes shr 20} MB, expected ${neededBytes shr 20} MB")

/**
 * A bundle that is verified and loaded.
 *
 * @property memory how well it fits the phone
 */
class LoadedModel internal constructor(
    val folder: File,
    val manifest: Manifest,
    internal val engine: VlmEngine,
    internal val tokenizer: Tokenizer,
    val memory: MemoryFit = MemoryFit.FITS,
) {
    internal val prompt = Prompt(manifest.prompt)
    internal val square = SquarePixels(manifest.image)
}

/**
 * Loads bundles: every file checked, the memory counted, the program loaded.
 *
 * @param backend which of the manifest's artifacts the engine runs, such as `executorch`
 * @param availableMemory bytes that the model may take ([MemoryCheck.usable])
 */
class ModelLoader(private val backend: String, private val engines: EngineFactory, private val availableMemory: () -> Long) {
    /**
     * Loads the bundle in [folder].
     *
     * @throws BundleException it is damaged, or has no program for this app.
     * @throws MemoryException the phone has too little memory.
     * @throws EngineException the engine can't load the program.
     * @throws java.util.concurrent.CancellationException [job] was cancelled.
     */
    fun load(folder: File, job: Job): LoadedModel {
        val manifest = BundleFiles.verify(folder, job)
        if (backend !in manifest.artifacts) {
            throw BundleException("$folder: got artifacts for ${manifest.artifacts.keys.joinToString().ifEmpty { "nothing" }}, expected $backend")
        }
        if (manifest.image.tokens > manifest.maxPrefill) {
            throw BundleException("$folder: got a prefill of ${manifest.maxPrefill} tokens, expected at least the picture's ${manifest.image.tokens}")
        }
        val available = availableMemory()
        val memory = MemoryCheck.fit(manifest.memoryBytes, available)
        if (memory == MemoryFit.TOO_LITTLE) throw MemoryException(manifest.memoryBytes, available)
        val tokenizer = Tokenizer.read(File(folder, manifest.tokenizerJson))
        job.step(manifest.totalBytes, manifest.totalBytes)
        return LoadedModel(folder, manifest, engines.open(folder, manifest), tokenizer, memory)
    }
}
