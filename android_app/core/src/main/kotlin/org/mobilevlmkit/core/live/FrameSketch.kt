package org.mobilevlmkit.core.live

import org.mobilevlmkit.core.pixels.Plane

/** A camera frame's brightness on a coarse grid, to detect cheaply whether the scene has changed. */
class FrameSketch private constructor(private val levels: IntArray) {
    /**
     * The difference from [other], 0 to 1: the mean absolute difference of the cells relative to white, after subtracting a uniform
     * change of brightness (clouds, exposure).
     */
    fun difference(other: FrameSketch): Double {
        val shift = levels.average() - other.levels.average()
        var sum = 0.0
        for (cell in levels.indices) sum += Math.abs(levels[cell] - other.levels[cell] - shift)
        return sum / levels.size / 255
    }

    companion object {
        private const val GRID = 16
        private const val SAMPLES = 4 // per side of a cell

        /** From the luma plane [y] of a frame of [width] × [height] samples; reads 4,096 of them. */
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
