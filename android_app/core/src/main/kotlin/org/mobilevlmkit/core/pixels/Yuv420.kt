package org.mobilevlmkit.core.pixels

import org.mobilevlmkit.core.PictureException
import java.nio.ByteBuffer

/** One plane of a camera frame: sample (x, y) is at `y * rowStride + x * pixelStride` of [bytes], from index 0 on. */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
    internal fun requireHolds(name: String, width: Int, height: Int) {
        val last = (height - 1L) * rowStride + (width - 1L) * pixelStride
        if (rowStride < 0 || pixelStride < 1 || last >= bytes.limit()) {
            throw PictureException("plane $name: got ${bytes.limit()} bytes, expected $width x $height samples (index $last)")
        }
    }

    /** Row [y] of [width] samples into [into], as ints 0 to 255. [raw] is a scratch buffer. */
    internal fun readRow(y: Int, width: Int, into: IntArray, raw: ByteArray) {
        val begin = y * rowStride
        val view = bytes.duplicate()
        // The last row may end with its last sample, before a whole pixel stride.
        view.limit(begin + (width - 1) * pixelStride + 1)
        view.position(begin)
        view.get(raw, 0, view.remaining())
        var at = 0
        for (x in 0 until width) {
            into[x] = raw[at].toInt() and 255
            at += pixelStride
        }
    }
}

/**
 * Camera frames (Android's YUV_420_888: a luma plane, and two chroma planes of half the width and height, rounded up) → upright
 * pictures.
 *
 * Colors are BT.601 full range, as delivered by Android's camera in this format and as used by JPEG (JFIF):
 * R = Y + 1.402 Cr, G = Y − 0.344136 Cb − 0.714136 Cr, B = Y + 1.772 Cb, in 16 fractional bits, rounded and clipped. Each chroma sample
 * covers two by two pixels. One instance serves one thread; the returned picture is valid until the next call.
 */
class Yuv420 {
    private var pixels = IntArray(0)
    private var luma = IntArray(0)
    private var blueness = IntArray(0)
    private var redness = IntArray(0)
    private var raw = ByteArray(0)

    /**
     * The frame of [width] × [height] samples, turned clockwise by [rotation] degrees.
     *
     * @throws PictureException a plane is too short for that size.
     */
    fun picture(width: Int, height: Int, y: Plane, u: Plane, v: Plane, rotation: Int): ArrayPicture {
        if (width < 1 || height < 1) throw PictureException("frame: got $width x $height pixels, expected at least 1 x 1")
        val chromaWidth = (width + 1) / 2
        y.requireHolds("Y", width, height)
        u.requireHolds("U", chromaWidth, (height + 1) / 2)
        v.requireHolds("V", chromaWidth, (height + 1) / 2)
        makeRoom(width, height, maxOf(y.pixelStride * width, u.pixelStride * chromaWidth, v.pixelStride * chromaWidth))
        val orientation = Orientation.ofRotation(rotation)
        for (row in 0 until height) {
            y.readRow(row, width, luma, raw)
            if (row % 2 == 0) {
                u.readRow(row / 2, chromaWidth, blueness, raw)
                v.readRow(row / 2, chromaWidth, redness, raw)
            }
            val begin = orientation.index(0, row, width, height)
            val step = orientation.index(1, row, width, height) - begin
            var at = begin
            for (x in 0 until width) {
                pixels[at] = rgb(luma[x], blueness[x shr 1] - 128, redness[x shr 1] - 128)
                at += step
            }
        }
        return if (orientation.transposes) ArrayPicture(height, width, pixels) else ArrayPicture(width, height, pixels)
    }

    private fun makeRoom(width: Int, height: Int, rowBytes: Int) {
        if (pixels.size < width * height) pixels = IntArray(width * height)
        if (raw.size < rowBytes) raw = ByteArray(rowBytes)
        if (luma.size < width) {
            luma = IntArray(width)
            blueness = IntArray((width + 1) / 2)
            redness = IntArray((width + 1) / 2)
        }
    }

    private fun rgb(y: Int, cb: Int, cr: Int): Int {
        val scaled = (y shl 16) + 32768
        return clipped(scaled + 91881 * cr) shl 16 or
            (clipped(scaled - 22553 * cb - 46802 * cr) shl 8) or
            clipped(scaled + 116130 * cb)
    }

    private fun clipped(value: Int): Int = value.coerceIn(0, 0xffffff) shr 16
}
