package org.mobilevlmkit.core.pixels

import org.mobilevlmkit.core.bundle.ImageSpec

/**
 * Converts a picture to the vision encoder's square input exactly like the reference: padded to a square with the mean
 * color, then resized (Pillow's bicubic, horizontally and then vertically, rounded to 8 bits after each).
 *
 * The padded square is never created: padding adds its color times the sum of its weights to a pixel. Memory
 * use depends on the picture alone, however long and thin it is.
 *
 * One instance serves one thread; it keeps its buffers and the weights of the last size.
 */
class SquarePixels(private val spec: ImageSpec) {
    private val side = spec.size
    private var weights = ResampleWeights(side, side)
    private var row = IntArray(0) // one row of the picture, 0x??RRGGBB
    private var narrowed = ByteArray(0) // [3, H, columns that overlap the picture]: its rows, resized horizontally

    /** uint8 [3, side, side] of [picture]: all red rows, then green, then blue. Fills and returns [into]. */
    fun of(picture: Picture, into: ByteArray = ByteArray(3 * side * side)): ByteArray {
        require(into.size == 3 * side * side) { "got room for ${into.size} bytes, expected 3 x $side x $side" }
        val square = Math.max(picture.width, picture.height)
        val left = (square - picture.width) / 2
        val top = (square - picture.height) / 2
        if (square == side) {
            if (row.size < side) row = IntArray(side)
            row.fill(spec.padColor)
            unpack(picture, left, top, into)
            return into
        }
        if (row.size < picture.width) row = IntArray(picture.width)
        if (weights.inputSize != square) weights = ResampleWeights(square, side)
        val across = Overlap(weights, left, picture.width)
        val columns = across.seeing
        val count = columns.last - columns.first + 1
        if (narrowed.size < 3 * picture.height * count) narrowed = ByteArray(3 * picture.height * count)
        for (y in 0 until picture.height) {
            picture.readRow(y, row, 0)
            narrowRow(across, columns, count, picture.height, y)
        }
        shorten(Overlap(weights, top, picture.height), across, columns, count, picture.height, into)
        return into
    }

    /** Without a resize, the picture is only padded. */
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

    private fun narrowRow(across: Overlap, columns: IntRange, columnCount: Int, height: Int, y: Int) {
        val kernel = weights.weights
        val row = row
        for (x in columns) {
            val padding = across.padding[x]
            var red = HALF + padding * (spec.padColor shr 16 and 255)
            var green = HALF + padding * (spec.padColor shr 8 and 255)
            var blue = HALF + padding * (spec.padColor and 255)
            var at = across.first[x]
            val from = across.tap[x]
            for (index in from until from + across.count[x]) {
                val pixel = row[at++]
                val weight = kernel[index]
                red += (pixel shr 16 and 255) * weight
                green += (pixel shr 8 and 255) * weight
                blue += (pixel and 255) * weight
            }
            val to = y * columnCount + x - columns.first
            narrowed[to] = clipped(red)
            narrowed[height * columnCount + to] = clipped(green)
            narrowed[2 * height * columnCount + to] = clipped(blue)
        }
    }

    private fun shorten(down: Overlap, across: Overlap, columns: IntRange, columnCount: Int, height: Int, into: ByteArray) {
        val kernel = weights.weights
        val sums = IntArray(side)
        val padded = IntArray(side) // a row of padding, resized horizontally
        for (channel in 0..2) {
            val color = spec.padColor shr (16 - 8 * channel) and 255
            for (x in 0 until side) padded[x] = clipped(HALF + (across.padding[x] + across.inside[x]) * color).toInt() and 255
            for (y in 0 until side) {
                val whole = down.padding[y] + down.inside[y]
                for (x in 0 until side) sums[x] = HALF + padded[x] * (if (x in columns) down.padding[y] else whole)
                for (tap in 0 until down.count[y]) {
                    val weight = kernel[down.tap[y] + tap]
                    val from = (channel * height + down.first[y] + tap) * columnCount - columns.first
                    for (x in columns) sums[x] += (narrowed[from + x].toInt() and 255) * weight
                }
                val to = (channel * side + y) * side
                for (x in 0 until side) into[to + x] = clipped(sums[x])
            }
        }
    }

    private fun clipped(sum: Int): Byte {
        val value = sum shr ResampleWeights.PRECISION_BITS
        return value.coerceIn(0, 255).toByte()
    }

    private companion object {
        const val HALF = 1 shl (ResampleWeights.PRECISION_BITS - 1)
    }

    /** The overlap of each output pixel along one axis with a picture of [length] pixels that begins at [before] in the square. */
    private class Overlap(weights: ResampleWeights, before: Int, length: Int) {
        /** The first overlapping pixel of the picture, the index of its weight, and the number of overlapping pixels. */
        val first = IntArray(weights.outputSize)
        val tap = IntArray(weights.outputSize)
        val count = IntArray(weights.outputSize)

        /** The sums of the weights in the picture and in the padding. */
        val inside = IntArray(weights.outputSize)
        val padding = IntArray(weights.outputSize)

        /** The output pixels that overlap the picture; they are contiguous. */
        val seeing: IntRange

        init {
            for (at in first.indices) {
                val begin = weights.first[at].coerceIn(before, before + length)
                val end = (weights.first[at] + weights.count[at]).coerceIn(begin, before + length)
                first[at] = begin - before
                count[at] = end - begin
                tap[at] = at * weights.taps + begin - weights.first[at]
                var total = 0
                for (index in 0 until weights.count[at]) total += weights.weights[at * weights.taps + index]
                for (index in 0 until count[at]) inside[at] += weights.weights[tap[at] + index]
                padding[at] = total - inside[at]
            }
            seeing = first.indices.first { count[it] > 0 }..first.indices.last { count[it] > 0 }
        }
    }
}
