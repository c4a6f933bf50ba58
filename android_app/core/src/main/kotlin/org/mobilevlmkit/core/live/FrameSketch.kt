package org.mobilevlmkit.core.live

import org.mobilevlmkit.core.pixels.Plane

/** A camera frame's brightness on a coarse grid: enough to tell whether the scene has changed, and cheap. */
class FrameSketch private constructor(private val levels: IntArray) {
    /**
     * How unlike [other] is, 0 to 1: the mean difference of the cells over white's, after a change of brightness of the whole
     * (clouds, exposure) is taken out.
     */
    fun difference(other: FrameSketch): Double {
        val shift = levels.average() - other.levels.average()
        var sum = 0.0
        for (cell in levels.indices) sum += Math.abs(levels[cell] - other.levels[cell] - shift)
        return sum / levels.size / 255
    }

    companion object {
        private const val GRID = 16
        private const val SAMPLES = 4 // a side of each cell

        /** Of the luma plane [y] of a frame of [width] × [height] samples; 4,096 of them are read. */
        fun of(width: Int, height: Int, y: Plane): FrameSketch {
            y.requireHolds("Y", width, height)
            val points = GRID * SAMPLES
            val levels = IntArray(GRID * GRID)
            for (row in 0 until points) {
                val line = (((row + 0.5) * height / points).toInt()) * y.rowStride
                for (column in 0 until points) {
                    val at = line + ((column + 0.5) * width / points).toInt() * y.pixelStride
                    levels[row / SAMPLES * GRID + column / SAMPLES] += y.bytes.get(at).toInt() and 255
                }
            }
            for (cell in levels.indices) levels[cell] /= SAMPLES * SAMPLES
            return FrameSketch(levels)
        }
    }
}
