package org.mobilevlmkit.core.pixels

import org.mobilevlmkit.core.camera.Crop

/** A picture of [width] × [height] pixels, as large as it fits into the middle of a view of [viewWidth] × [viewHeight]. */
class FittedPicture(viewWidth: Int, viewHeight: Int, private val width: Int, private val height: Int) {
    /** Where the picture is in the view. */
    val place: Crop = if (viewWidth.toLong() * height > width.toLong() * viewHeight) {
        val across = maxOf(1, (width.toLong() * viewHeight / height).toInt())
        Crop((viewWidth - across) / 2, 0, across, maxOf(1, viewHeight))
    } else {
        val down = maxOf(1, (height.toLong() * viewWidth / width).toInt())
        Crop(0, (viewHeight - down) / 2, maxOf(1, viewWidth), down)
    }

    /**
     * The part of the picture, in its pixels, under a rectangle that was drawn in the view from one corner to the opposite one; null if
     * less than [MIN_SIDE] pixels of it were meant in one direction.
     */
    fun part(fromX: Float, fromY: Float, toX: Float, toY: Float): Crop? {
        val (left, right) = ends(fromX, toX, place.left, place.width, width)
        val (top, bottom) = ends(fromY, toY, place.top, place.height, height)
        return Crop(left, top, right - left, bottom - top).takeIf { it.width >= MIN_SIDE && it.height >= MIN_SIDE }
    }

    private fun ends(one: Float, other: Float, begin: Int, shown: Int, whole: Int): Pair<Int, Int> {
        fun pixel(at: Float) = Math.round((at - begin) / shown * whole).coerceIn(0, whole)
        return pixel(minOf(one, other)) to pixel(maxOf(one, other))
    }

    companion object {
        const val MIN_SIDE = 16
    }
}
