package org.mobilevlmkit.core.camera

/** A rectangle of whole pixels. */
data class Crop(val left: Int, val top: Int, val width: Int, val height: Int)

/**
 * A viewfinder of [width] × [height] that a camera's frames fill: they are scaled alike in both directions, and what is outside is cut
 * off evenly on two sides.
 */
data class Viewfinder(val width: Int, val height: Int) {
    /** The part of an upright frame of [frameWidth] × [frameHeight] pixels that is visible; all of it if the viewfinder has no size yet. */
    fun visible(frameWidth: Int, frameHeight: Int): Crop {
        if (width < 1 || height < 1) return Crop(0, 0, frameWidth, frameHeight)
        val isTooWide = frameWidth.toLong() * height > width.toLong() * frameHeight
        val shownWidth = if (isTooWide) rounded(frameHeight.toLong() * width, height) else frameWidth
        val shownHeight = if (isTooWide) frameHeight else rounded(frameWidth.toLong() * height, width)
        return Crop((frameWidth - shownWidth) / 2, (frameHeight - shownHeight) / 2, shownWidth, shownHeight)
    }

    private fun rounded(numerator: Long, denominator: Int) = maxOf(1, ((numerator + denominator / 2) / denominator).toInt())

    /**
     * The point of the sensor, 0 to 1 from its upper left corner, under the point [x], [y] of the viewfinder, 0 to 1 too.
     *
     * @param frameWidth of the upright frame, as [frameHeight]
     * @param rotation clockwise degrees that turn the sensor's image upright
     * @param isMirrored whether the viewfinder shows a mirror image, as for cameras that face the user
     */
    fun onSensor(x: Float, y: Float, frameWidth: Int, frameHeight: Int, rotation: Int, isMirrored: Boolean): Pair<Float, Float> {
        val shown = visible(frameWidth, frameHeight)
        val across = (shown.left + (if (isMirrored) 1 - x else x) * shown.width) / frameWidth
        val down = (shown.top + y * shown.height) / frameHeight
        return when (rotation) {
            90 -> down to 1 - across
            180 -> 1 - across to 1 - down
            270 -> 1 - down to across
            else -> across to down
        }
    }

    companion object {
        /**
         * Clockwise degrees that turn a sensor's image upright on the screen.
         *
         * @param sensor the sensor's own orientation (`SENSOR_ORIENTATION`)
         * @param display how far the screen is turned from its natural orientation
         */
        fun rotation(sensor: Int, display: Int, isFront: Boolean): Int =
            if (isFront) (sensor + display) % 360 else (sensor - display + 360) % 360
    }
}
