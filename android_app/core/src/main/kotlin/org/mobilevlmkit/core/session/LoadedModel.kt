package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.MobileVlmException
import org.mobilevlmkit.core.OutdatedException
import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.bundle.BundleStore
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.bundle.ManifestReader
import org.mobilevlmkit.core.bundle.VerifiedBundles
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.SquarePixels
import org.mobilevlmkit.core.prompt.Prompt
import org.mobilevlmkit.core.prompt.Tokenizer
import java.io.File

/** The phone has too little memory for the model. */
class MemoryException(val neededBytes: Long, val availableBytes: Long) :
    MobileVlmException("memory: got ${availableBytes shr 20} MB, expected ${neededBytes shr 20} MB")

/**
 * A verified, loaded bundle; for one thread.
 *
 * @property memory how well it fits the phone
 * @property loadS seconds that the engine took to load the program
 */
class LoadedModel internal constructor(
    val folder: File,
    val manifest: Manifest,
    internal val engine: VlmEngine,
    internal val tokenizer: Tokenizer,
    val memory: MemoryFit = MemoryFit.FITS,
    val loadS: Double = 0.0,
) {
    internal val prompt = Prompt(manifest.prompt)
    private val square = SquarePixels(manifest.image)

    /** Whether the engine is freed; everything that doesn't need it still works. */
    var isReleased = false
        private set

    /** The vision encoder's input for [picture]: uint8 [3, S, S]. */
    fun pixels(picture: Picture): ByteArray = square.of(picture)

    /** Frees the engine to make room for another one. */
    fun release() {
        if (isReleased) return
        isReleased = true
        engine.close()
    }
}

/**
 * Loads bundles: verifies their files, checks memory, and loads the program.
 *
 * @param backend which of the manifest's artifacts the engine runs, such as `executorch`
 * @param availableMemory bytes that the model may use ([MemoryCheck.usable])
 * @param verified remembers bundles whose files were hashed; without it, they are hashed at every load
 */
class ModelLoader(
    private val backend: String,
    private val engines: EngineFactory,
    private val availableMemory: () -> Long,
    private val nanoTime: () -> Long = System::nanoTime,
    private val verified: VerifiedBundles? = null,
) {
    /** A bundle that is loaded even if the phone reports too little memory, because the user asked for it. */
    @Volatile
    var loadedAnyway: File? = null

    /**
     * Loads the bundle in [folder].
     *
     * @throws OutdatedException its program would give wrong answers; its files aren't read.
     * @throws BundleException it is damaged, or has no program for this app.
     * @throws MemoryException the phone has too little memory.
     * @throws EngineException the engine can't load the program.
     * @throws java.util.concurrent.CancellationException [job] was cancelled.
     */
    fun load(folder: File, job: Job): LoadedModel {
        if (ManifestReader.read(File(folder, ManifestReader.FILE_NAME)).isOutdated) {
            throw OutdatedException(folder.name.removeSuffix(BundleStore.SUFFIX), "$folder")
        }
        val manifest = verified?.verify(folder, job) ?: BundleFiles.verify(folder, job)
        if (backend !in manifest.artifacts) {
            val got = manifest.artifacts.keys.joinToString().ifEmpty { "nothing" }
            throw BundleException("$folder: got artifacts for $got, expected $backend")
        }
        if (manifest.image.tokens > manifest.maxPrefill) {
            throw BundleException(
                "$folder: got a prefill of ${manifest.maxPrefill} tokens, expected at least the picture's ${manifest.image.tokens}",
            )
        }
        val available = availableMemory()
        var memory = MemoryCheck.fit(manifest.memoryBytes, available)
        if (memory == MemoryFit.TOO_LITTLE) {
            if (folder != loadedAnyway) throw MemoryException(manifest.memoryBytes, available)
            memory = MemoryFit.TIGHT
        }
        val tokenizer = Tokenizer.read(File(folder, manifest.tokenizerJson))
        job.step(manifest.totalBytes, manifest.totalBytes)
        val began = nanoTime()
        val engine = try {
            engines.open(folder, manifest)
        } catch (error: EngineException) {
            verified?.forget(folder) // a damaged file may be why
            throw error
        }
        return LoadedModel(folder, manifest, engine, tokenizer, memory, (nanoTime() - began) / 1e9)
    }
}
