package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.live.Thermal
import java.io.File
import java.io.IOException

/**
 * How fast the golden records went on this phone; medians over the records.
 *
 * @property loadS seconds to load the program
 * @property imageEncodeS seconds to encode a picture and put it through the text decoder
 * @property prefillS seconds from the question to its answer's first token, the picture being in the KV cache
 * @property decodeTokensPerS tokens a second after the first; 0 if no answer had two
 * @property peakBytes the most memory that the process had; 0 where the system doesn't tell
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

    /** For a capture's `stats`, called as `mvlm ask` calls them. */
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

/** Takes the times of a check. */
internal class MeasurementTimer(private val loadS: Double, private val thermalBefore: Thermal, private val nanoTime: () -> Long) {
    private val imageS = ArrayList<Double>()
    private val prefillS = ArrayList<Double>()
    private val speeds = ArrayList<Double>()
    private var askedAt = 0L
    private var firstAt: Long? = null
    private var lastAt = 0L
    private var tokens = 0

    /** A question is asked now of a picture that took [imageS]. */
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

/** What the system says of this process's memory. */
object ProcessMemory {
    private val PEAK = Regex("VmHWM:\\s*(\\d+) kB")

    /** The most bytes of memory that this process has had, mapped files included; 0 where [status] doesn't say. */
    fun peakBytes(status: File = File("/proc/self/status")): Long = try {
        PEAK.find(status.readText())?.let { it.groupValues[1].toLong() * 1024 } ?: 0
    } catch (_: IOException) {
        0
    }
}
