package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.live.Thermal
import java.io.File
import java.io.IOException

/**
 * Speed and memory while running the golden records on this phone; medians over the records.
 *
 * @property loadS seconds to load the program
 * @property imageEncodeS seconds to encode an image and run it through the text decoder
 * @property prefillS seconds from the question to the answer's first token, with the image in the KV cache
 * @property decodeTokensPerS tokens per second after the first; 0 if no answer had two
 * @property peakBytes peak memory of the process; 0 if the system doesn't report it
 */
data class Measurements(
    val loadS: Double,
    val imageEncodeS: Double,
    val prefillS: Double,
    val decodeTokensPerS: Double,
    val generatedTokens: Int,
    val peakBytes: Long,
    val thermalBefore: Thermal,
    val thermalAfter: Thermal,
) {
    /** Seconds from a new picture and question to the answer's first token. */
    val firstTokenS: Double get() = imageEncodeS + prefillS

    /** For a capture's `stats`, with the keys of `mvlm ask`. */
    fun toJson(): Map<String, Any?> = linkedMapOf(
        "load_s" to loadS,
        "image_encode_s" to imageEncodeS,
        "prefill_s" to prefillS,
        "ttft_s" to firstTokenS,
        "generated_tokens" to generatedTokens,
        "decode_tok_s" to decodeTokensPerS,
        "peak_rss_bytes" to peakBytes,
        "thermal_before" to thermalBefore.name,
        "thermal_after" to thermalAfter.name,
    )
}

/** Measures a check. */
internal class MeasurementTimer(private val loadS: Double, private val thermalBefore: Thermal, private val nanoTime: () -> Long) {
    private val imageS = ArrayList<Double>()
    private val prefillS = ArrayList<Double>()
    private val speeds = ArrayList<Double>()
    private var askedAt = 0L
    private var firstAt: Long? = null
    private var lastAt = 0L
    private var tokens = 0

    /** A question is asked now about an image that took [imageS] seconds. */
    fun asked(imageS: Double) {
        this.imageS.add(imageS)
        askedAt = nanoTime()
        firstAt = null
    }

    /** Text came. */
    fun token() {
        lastAt = nanoTime()
        if (firstAt == null) firstAt = lastAt
    }

    /** The answer, of [tokens], is complete. */
    fun answered(tokens: Int) {
        this.tokens += tokens
        val first = firstAt ?: return
        prefillS.add((first - askedAt) / 1e9)
        if (tokens > 1 && lastAt > first) speeds.add((tokens - 1) / ((lastAt - first) / 1e9))
    }

    fun finish(thermalAfter: Thermal) = Measurements(
        loadS,
        median(imageS),
        median(prefillS),
        median(speeds),
        tokens,
        ProcessMemory.peakBytes(),
        thermalBefore,
        thermalAfter,
    )

    private fun median(values: List<Double>): Double {
        val sorted = values.sorted()
        return if (sorted.isEmpty()) 0.0 else (sorted[(sorted.size - 1) / 2] + sorted[sorted.size / 2]) / 2
    }
}

/** The system's memory figures for this process. */
object ProcessMemory {
    private val PEAK = Regex("VmHWM:\\s*(\\d+) kB")

    /** Peak memory of this process in bytes, including mapped files; 0 if [status] doesn't report it. */
    fun peakBytes(status: File = File("/proc/self/status")): Long = try {
        PEAK.find(status.readText())?.let { it.groupValues[1].toLong() * 1024 } ?: 0
    } catch (_: IOException) {
        0
    }
}
