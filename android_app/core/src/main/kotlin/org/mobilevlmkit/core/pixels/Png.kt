package org.mobilevlmkit.core.pixels

import java.io.DataOutputStream
import java.io.OutputStream
import java.util.zip.CRC32
import java.util.zip.Deflater
import java.util.zip.DeflaterOutputStream

/** Writes pictures as PNG (8-bit RGB) row by row, so that any size needs little memory. */
object Png {
    private val SIGNATURE = byteArrayOf(-119, 80, 78, 71, 13, 10, 26, 10)
    private const val CHUNK = 1 shl 16
    private const val RGB_8_BITS = 0x08_02_00_00 // bit depth, color type, compression, filter method
    private const val UP = 2 // PNG's Up filter: each byte minus the one above it

    /** Writes [picture] to [out], which stays open. */
    fun write(picture: Picture, out: OutputStream) {
        out.write(SIGNATURE)
        chunk(out, "IHDR", bytesOf(picture.width, picture.height, RGB_8_BITS) + 0, 13)
        val deflater = Deflater(Deflater.BEST_SPEED)
        try {
            DeflaterOutputStream(DataChunks(out), deflater, CHUNK).use { data ->
                val pixels = IntArray(picture.width)
                var above = ByteArray(3 * picture.width)
                var row = ByteArray(3 * picture.width)
                val filtered = ByteArray(1 + 3 * picture.width)
                filtered[0] = UP.toByte()
                for (y in 0 until picture.height) {
                    picture.readRow(y, pixels, 0)
                    unpack(pixels, row)
                    for (index in row.indices) filtered[1 + index] = (row[index] - above[index]).toByte()
                    data.write(filtered)
                    above = row.also { row = above }
                }
            }
        } finally {
            deflater.end()
        }
        chunk(out, "IEND", ByteArray(0), 0)
    }

    /** Writes [pixels], uint8 [3, side, side], to [out]. */
    fun writeSquare(pixels: ByteArray, side: Int, out: OutputStream) {
        val area = side * side
        val packed = IntArray(area) {
            (pixels[it].toInt() and 255 shl 16) or (pixels[area + it].toInt() and 255 shl 8) or (pixels[2 * area + it].toInt() and 255)
        }
        write(ArrayPicture(side, side, packed), out)
    }

    private fun unpack(pixels: IntArray, row: ByteArray) {
        for ((x, pixel) in pixels.withIndex()) {
            row[3 * x] = (pixel shr 16).toByte()
            row[3 * x + 1] = (pixel shr 8).toByte()
            row[3 * x + 2] = pixel.toByte()
        }
    }

    private fun chunk(out: OutputStream, type: String, data: ByteArray, length: Int) {
        val named = type.toByteArray(Charsets.US_ASCII)
        val crc = CRC32().apply {
            update(named)
            update(data, 0, length)
        }
        DataOutputStream(out).apply {
            writeInt(length)
            write(named)
            write(data, 0, length)
            writeInt(crc.value.toInt())
            flush()
        }
    }

    private fun bytesOf(vararg values: Int): ByteArray = ByteArray(4 * values.size) { (values[it / 4] shr (24 - 8 * (it % 4))).toByte() }

    /** Splits written data into IDAT chunks; closing it leaves [out] open. */
    private class DataChunks(private val out: OutputStream) : OutputStream() {
        private val buffer = ByteArray(CHUNK)
        private var size = 0

        override fun write(b: Int) = write(byteArrayOf(b.toByte()), 0, 1)

        override fun write(b: ByteArray, off: Int, len: Int) {
            var at = off
            while (at < off + len) {
                val count = minOf(off + len - at, CHUNK - size)
                System.arraycopy(b, at, buffer, size, count)
                size += count
                at += count
                if (size == CHUNK) emit()
            }
        }

        override fun close() = emit()

        private fun emit() {
            if (size > 0) chunk(out, "IDAT", buffer, size)
            size = 0
        }
    }
}
