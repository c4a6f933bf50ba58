package org.mobilevlmkit.core.pixels

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.PictureException
import java.nio.ByteBuffer
import java.util.Random

class Yuv420Test {
    private val random = Random(420)

    /** A plane of minimal length with random samples and random bytes in between; heap or direct. */
    private fun plane(samples: Array<IntArray>, rowStride: Int, pixelStride: Int, direct: Boolean = false): Plane {
        val bytes = ByteArray((samples.size - 1) * rowStride + (samples[0].size - 1) * pixelStride + 1)
        random.nextBytes(bytes)
        for ((y, row) in samples.withIndex()) for ((x, sample) in row.withIndex()) bytes[y * rowStride + x * pixelStride] = sample.toByte()
        val buffer = if (direct) ByteBuffer.allocateDirect(bytes.size).put(bytes).also { it.flip() } else ByteBuffer.wrap(bytes)
        return Plane(buffer, rowStride, pixelStride)
    }

    private fun samples(width: Int, height: Int) = Array(height) { IntArray(width) { random.nextInt(256) } }

    /** JFIF's formula in floating point. */
    private fun rgb(y: Int, u: Int, v: Int): List<Double> = listOf(
        y + 1.402 * (v - 128),
        y - 0.344136 * (u - 128) - 0.714136 * (v - 128),
        y + 1.772 * (u - 128),
    ).map { it.coerceIn(0.0, 255.0) }

    private fun requireClose(expected: List<Double>, pixel: Int, where: String) {
        val got = listOf(pixel shr 16 and 255, pixel shr 8 and 255, pixel and 255)
        for ((a, b) in expected.zip(got)) assertTrue("$where: got $got, expected $expected", Math.abs(a - b) <= 0.51)
    }

    @Test
    fun everyLayoutAndRotationGivesTheSameColors() {
        val converter = Yuv420()
        for ((width, height) in listOf(1 to 1, 2 to 2, 3 to 5, 6 to 4, 7 to 3, 16 to 9)) {
            for (chromaStride in listOf(1, 2)) {
                for (padding in listOf(0, 5)) {
                    for (rotation in listOf(0, 90, 180, 270)) {
                        val chromaWidth = (width + 1) / 2
                        val y = samples(width, height)
                        val (u, v) = List(2) { samples(chromaWidth, (height + 1) / 2) }
                        val picture = converter.picture(
                            width,
                            height,
                            plane(y, width + padding, 1, direct = padding > 0),
                            plane(u, chromaWidth * chromaStride + padding, chromaStride),
                            plane(v, chromaWidth * chromaStride + padding, chromaStride, direct = true),
                            rotation,
                        )
                        val turned = rotation % 180 != 0
                        assertEquals(if (turned) height else width, picture.width)
                        assertEquals(if (turned) width else height, picture.height)
                        for (row in 0 until picture.height) {
                            for (column in 0 until picture.width) {
                                // The sensor position of the upright pixel.
                                val (x, line) = when (rotation) {
                                    0 -> column to row
                                    90 -> row to height - 1 - column
                                    180 -> width - 1 - column to height - 1 - row
                                    else -> width - 1 - row to column
                                }
                                val expected = rgb(y[line][x], u[line / 2][x / 2], v[line / 2][x / 2])
                                requireClose(
                                    expected,
                                    picture.pixels[row * picture.width + column],
                                    "$width x $height, $rotation, $column, $row",
                                )
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    fun graysStayGrayOverTheFullRange() {
        val converter = Yuv420()
        for (level in 0..255) {
            val one = { value: Int -> plane(arrayOf(intArrayOf(value)), 1, 1) }
            assertEquals(level * 0x10101, converter.picture(1, 1, one(level), one(128), one(128), 0).pixels[0])
        }
    }

    @Test
    fun everyColorIsWithinHalfALevelOfTheFormula() {
        val converter = Yuv420()
        repeat(50_000) {
            val (y, u, v) = List(3) { random.nextInt(256) }
            val one = { value: Int -> Plane(ByteBuffer.wrap(byteArrayOf(value.toByte())), 1, 1) }
            requireClose(rgb(y, u, v), converter.picture(1, 1, one(y), one(u), one(v), 0).pixels[0], "$y $u $v")
        }
    }

    @Test
    fun aPlaneTooShortIsRefused() {
        val good = { width: Int, height: Int -> plane(samples(width, height), width, 1) }
        val error = assertThrows(PictureException::class.java) { Yuv420().picture(4, 4, good(4, 4), good(2, 1), good(2, 2), 0) }
        assertTrue(error.message, "plane U" in error.message!!)
        assertThrows(PictureException::class.java) { Yuv420().picture(0, 4, good(4, 4), good(2, 2), good(2, 2), 0) }
        assertThrows(IllegalArgumentException::class.java) { Yuv420().picture(4, 4, good(4, 4), good(2, 2), good(2, 2), 45) }
    }
}
