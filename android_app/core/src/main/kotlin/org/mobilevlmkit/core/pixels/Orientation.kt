package org.mobilevlmkit.core.pixels

/**
 * How to turn a stored image upright: EXIF orientation values 1 to 8.
 *
 * @property transposes whether width and height are swapped
 */
enum class Orientation(val exif: Int, val transposes: Boolean) {
    UPRIGHT(1, false),
    MIRRORED(2, false),
    TURNED_180(3, false),
    MIRRORED_TURNED_180(4, false),
    TRANSPOSED(5, true),
    TURNED_90(6, true),
    TRANSVERSED(7, true),
    TURNED_270(8, true),
    ;

    /** Whether the upright picture's rows are the stored rows, or columns if it is transposed, from the last to the first. */
    val reversesLines: Boolean get() = this in setOf(TURNED_180, MIRRORED_TURNED_180, TRANSVERSED, TURNED_270)

    /** Whether the pixels of each upright row come from the last to the first. */
    val reversesPixels: Boolean get() = this in setOf(MIRRORED, TURNED_180, TURNED_90, TRANSVERSED)

    /** [picture] upright: itself, or a copy in memory. */
    fun upright(picture: Picture): Picture {
        if (this == UPRIGHT) return picture
        val width = if (transposes) picture.height else picture.width
        val height = if (transposes) picture.width else picture.height
        val turned = IntArray(width * height)
        val row = IntArray(picture.width)
        for (y in 0 until picture.height) {
            picture.readRow(y, row, 0)
            // Along a stored row, the index in the upright picture advances by a constant step.
            val begin = index(0, y, picture.width, picture.height)
            val step = index(1, y, picture.width, picture.height) - begin
            var at = begin
            for (pixel in row) {
                turned[at] = pixel
                at += step
            }
        }
        return ArrayPicture(width, height, turned)
    }

    /** Index in the upright picture of the pixel in column [x] and row [y] of the stored one, [width] × [height]. */
    internal fun index(x: Int, y: Int, width: Int, height: Int): Int = when (this) {
        UPRIGHT -> y * width + x
        MIRRORED -> y * width + (width - 1 - x)
        TURNED_180 -> (height - 1 - y) * width + (width - 1 - x)
        MIRRORED_TURNED_180 -> (height - 1 - y) * width + x
        TRANSPOSED -> x * height + y
        TURNED_90 -> x * height + (height - 1 - y)
        TRANSVERSED -> (width - 1 - x) * height + (height - 1 - y)
        TURNED_270 -> (width - 1 - x) * height + y
    }

    companion object {
        /** From EXIF's value; anything but 1 to 8 means upright, as in image viewers. */
        fun ofExif(value: Int): Orientation = values().firstOrNull { it.exif == value } ?: UPRIGHT

        /** For a sensor image that must be turned clockwise by [degrees]: 0, 90, 180 or 270. */
        fun ofRotation(degrees: Int): Orientation = when (degrees) {
            0 -> UPRIGHT
            90 -> TURNED_90
            180 -> TURNED_180
            270 -> TURNED_270
            else -> throw IllegalArgumentException("rotation: got $degrees, expected 0, 90, 180 or 270 degrees")
        }
    }
}
