package org.mobilevlmkit.core.pixels

import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.camera.Crop

/** An opaque picture, upright, that is read row by row. */
interface Picture {
    /** Columns, at least 1. */
    val width: Int

    /** Rows, at least 1. */
    val height: Int

    /** Writes row [y] to [into] starting at index [at]: [width] pixels, 0x??RRGGBB (the top byte is undefined). */
    fun readRow(y: Int, into: IntArray, at: Int)
}

/** A copy of the part [crop] of the picture. */
fun Picture.cropped(crop: Crop): ArrayPicture {
    val part = IntArray(crop.width * crop.height)
    val row = IntArray(width)
    for (y in 0 until crop.height) {
        readRow(crop.top + y, row, 0)
        System.arraycopy(row, crop.left, part, y * crop.width, crop.width)
    }
    return ArrayPicture(crop.width, crop.height, part)
}

/** A picture in memory: [pixels] holds at least [width] × [height] ints 0x??RRGGBB, row by row. */
class ArrayPicture(override val width: Int, override val height: Int, val pixels: IntArray) : Picture {
    init {
        if (width < 1 || height < 1) throw PictureException("picture: got $width x $height pixels, expected at least 1 x 1")
        if (pixels.size.toLong() < width.toLong() * height) {
            throw PictureException("picture: got ${pixels.size} pixels, expected $width x $height")
        }
    }

    override fun readRow(y: Int, into: IntArray, at: Int) {
        System.arraycopy(pixels, y * width, into, at, width)
    }

    companion object {
        /** From [bytes]: red, green and blue of each pixel, row by row. */
        fun ofRgb(width: Int, height: Int, bytes: ByteArray): ArrayPicture {
            if (bytes.size.toLong() != 3L * width * height) {
                throw PictureException("picture: got ${bytes.size} bytes, expected 3 for each of $width x $height pixels")
            }
            val pixels = IntArray(width * height) {
                (bytes[3 * it].toInt() and 255 shl 16) or (bytes[3 * it + 1].toInt() and 255 shl 8) or (bytes[3 * it + 2].toInt() and 255)
            }
            return ArrayPicture(width, height, pixels)
        }

        /**
         * From non-premultiplied [argb], 0xAARRGGBB, which is modified in place: composited over [backdrop] (0xRRGGBB)
         * exactly like Pillow's `alpha_composite`.
         */
        fun ofArgb(width: Int, height: Int, argb: IntArray, backdrop: Int): ArrayPicture {
            compose(argb, 0, argb.size, backdrop)
            return ArrayPicture(width, height, argb)
        }

        /** Composites the pixels of [argb] from index [from] to [until] over [backdrop], as [ofArgb]. */
        fun compose(argb: IntArray, from: Int, until: Int, backdrop: Int) {
            for (index in from until until) {
                val alpha = argb[index] ushr 24
                argb[index] = when (alpha) {
                    255 -> argb[index]
                    0 -> backdrop
                    else -> composed(argb[index], alpha, backdrop)
                }
            }
        }

        private fun composed(pixel: Int, alpha: Int, backdrop: Int): Int {
            // Weights of 7 fractional bits over 255; the backdrop is opaque.
            val front = alpha * 255 * 255 * 128 / (255 * 255)
            val back = 255 * 128 - front
            var result = 0
            for (shift in intArrayOf(16, 8, 0)) {
                val sum = (pixel shr shift and 255) * front + (backdrop shr shift and 255) * back + (128 shl 7)
                result = result or (((sum shr 8) + sum shr 8 shr 7) shl shift)
            }
            return result
        }
    }
}
