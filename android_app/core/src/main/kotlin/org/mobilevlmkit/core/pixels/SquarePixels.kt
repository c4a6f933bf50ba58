package org.mobilevlmkit.core.pixels

import org.mobilevlmkit.core.bundle.ImageSpec

/**
 * A picture → the square that the vision encoder reads, exactly as the reference makes it: padded to a square with the mean
 * colour, then resized (Pillow's bicubic, horizontally and then vertically, rounded to 8 bits after each).
 *
 * One instance serves one thread; it keeps its buffers and the weights of the last size.
 */
class SquarePixels(private val spec: ImageSpec) {
    private val side = spec.size
    private var weights = ResampleWeights(side, side)
    private var row = IntArray(0) // one row of the padded square, 0x??RRGGBB
    private var narrowed = ByteArray(0) // [3, S, side]: rows of the padded square, resized horizontally

    /** uint8 [3, side, side] of [picture]: all red rows, then green, then blue. [into] is filled and returned. */
    fun of(picture: Picture, into: ByteArray = ByteArray(3 * side * side)): ByteArray {
        require(into.size == 3 * side * side) { "got room for ${into.size} bytes, expected 3 x $side x $side" }
        val square = Math.max(picture.width, picture.height)
        val left = (square - picture.width) / 2
        val top = (square - picture.height) / 2
        if (row.size < square) row = IntArray(square)
        row.fill(spec.padColor)
        if (square == side) {
            unpack(picture, left, top, into)
            return into
        }
        if (weights.inputSize != square) weights = ResampleWeights(square, side)
        if (narrowed.size < 3 * square * side) narrowed = ByteArray(3 * square * side)
        narrow(picture, square, left, top)
        shorten(square, into)
        return into
    }

    /** A square of the right size already is only padded. */
    private fun unpack(picture: Picture, left: Int, top: Int, into: ByteArray) {
        for (y in 0 until side) {
            val inside = y - top in 0 until picture.height
            if (inside) picture.readRow(y - top, row, left)
            for (x in 0 until side) {
                val pixel = if (inside) row[x] else spec.padColor
                into[y * side + x] = (pixel shr 16).toByte()
                into[(side + y) * side + x] = (pixel shr 8).toByte()
                into[(2 * side + y) * side + x] = pixel.toByte()
            }
        }
    }

    private fun narrow(picture: Picture, square: Int, left: Int, top: Int) {
        // Rows of padding above and below are all alike: the first is computed, the others are copies.
        var padded = -1
        for (y in 0 until square) {
            if (y - top !in 0 until picture.height) {
                if (padded < 0) {
                    row.fill(spec.padColor, 0, square)
                    narrowRow(square, y)
                    padded = y
                } else {
                    for (channel in 0..2) {
                        val from = (channel * square + padded) * side
                        System.arraycopy(narrowed, from, narrowed, (channel * square + y) * side, side)
                    }
                }
            } else {
                picture.readRow(y - top, row, left)
                narrowRow(square, y)
            }
        }
    }

    private fun narrowRow(square: Int, y: Int) {
        val weights = weights
        val kernel = weights.weights
        val row = row
        for (x in 0 until side) {
            var red = HALF
            var green = HALF
            var blue = HALF
            var at = weights.first[x]
            val from = x * weights.taps
            for (index in from until from + weights.count[x]) {
                val pixel = row[at++]
                val weight = kernel[index]
                red += (pixel shr 16 and 255) * weight
                green += (pixel shr 8 and 255) * weight
                blue += (pixel and 255) * weight
            }
            narrowed[y * side + x] = clipped(red)
            narrowed[(square + y) * side + x] = clipped(green)
            narrowed[(2 * square + y) * side + x] = clipped(blue)
        }
    }

    private fun shorten(square: Int, into: ByteArray) {
        val weights = weights
        val sums = IntArray(side)
        for (channel in 0..2) {
            for (y in 0 until side) {
                sums.fill(HALF)
                for (tap in 0 until weights.count[y]) {
                    val weight = weights.weights[y * weights.taps + tap]
                    val from = (channel * square + weights.first[y] + tap) * side
                    for (x in 0 until side) sums[x] += (narrowed[from + x].toInt() and 255) * weight
                }
                val to = (channel * side + y) * side
                for (x in 0 until side) into[to + x] = clipped(sums[x])
            }
        }
    }

    private fun clipped(sum: Int): Byte {
        val value = sum shr ResampleWeights.PRECISION_BITS
        return (if (value < 0) 0 else if (value > 255) 255 else value).toByte()
    }

    private companion object {
        const val HALF = 1 shl (ResampleWeights.PRECISION_BITS - 1)
    }
}
