package org.mobilevlmkit.core.pixels

/**
 * The input pixels and weights of each output pixel along one axis: Pillow's bicubic (a = −0.5), widened when shrinking so that
 * it doesn't alias, in fixed point with [PRECISION_BITS] fractional bits.
 *
 * Output pixel `i` is the sum over `k` of `input[first[i] + k] * weights[i * taps + k]`, `k` below `count[i]`.
 *
 * Source: the method of Pillow's `Resample.c` (8 bits per channel), which these weights match bit for bit.
 */
class ResampleWeights(val inputSize: Int, val outputSize: Int) {
    val taps: Int
    val first = IntArray(outputSize)
    val count = IntArray(outputSize)
    val weights: IntArray

    init {
        val scale = inputSize.toDouble() / outputSize
        val widened = Math.max(scale, 1.0)
        val support = SUPPORT * widened
        taps = Math.ceil(support).toInt() * 2 + 1
        weights = IntArray(outputSize * taps)
        val exact = DoubleArray(taps)
        for (index in 0 until outputSize) {
            val center = (index + 0.5) * scale
            val begin = Math.max((center - support + 0.5).toInt(), 0)
            val end = Math.min((center + support + 0.5).toInt(), inputSize)
            var sum = 0.0
            for (tap in 0 until end - begin) {
                exact[tap] = bicubic((tap + begin - center + 0.5) * (1.0 / widened))
                sum += exact[tap]
            }
            for (tap in 0 until end - begin) {
                val weight = (if (sum != 0.0) exact[tap] / sum else exact[tap]) * (1 shl PRECISION_BITS)
                weights[index * taps + tap] = (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
            }
            first[index] = begin
            count[index] = end - begin
        }
    }

    companion object {
        /** 32 bits minus 8 for a color and 2 for the kernel's overshoot. */
        const val PRECISION_BITS = 32 - 8 - 2
        private const val SUPPORT = 2.0
        private const val A = -0.5

        private fun bicubic(distance: Double): Double {
            val x = Math.abs(distance)
            return when {
                x < 1.0 -> ((A + 2.0) * x - (A + 3.0)) * x * x + 1
                x < 2.0 -> (((x - 5) * x + 8) * x - 4) * A
                else -> 0.0
            }
        }
    }
}
