package org.mobilevlmkit.core.pixels

import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Test
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.bundle.ImageSpec
import org.mobilevlmkit.core.bundle.Sha256

class SquarePixelsTest {
    private val padColor =
        (Golden.json("pixels/pixels.json")["pad_color"] as List<*>).fold(0) { rgb, it -> rgb shl 8 or (it as Long).toInt() }
    private val cases = Golden.cases("pixels/pixels.json", least = 30)

    private fun spec(case: Map<*, *>) = ImageSpec((case["size"] as Long).toInt(), 1, padColor)

    @Test
    fun pixelsEqualTheReference() {
        for (case in cases) {
            val picture = Golden.picture("pixels/${case["file"]}")
            val pixels = SquarePixels(spec(case)).of(picture)
            for (sample in case["samples"] as List<*>) requireSample("${case["file"]}", pixels, spec(case).size, sample as List<*>)
            assertEquals("${case["file"]}", case["sha256"], Sha256.of(pixels))
        }
    }

    @Test
    fun buffersServeOnePictureAfterAnother() {
        val makers = cases.map { spec(it) }.distinct().associateWith { SquarePixels(it) }
        for (case in cases + cases.reversed()) {
            val into = ByteArray(3 * spec(case).size * spec(case).size) { 77 }
            val pixels = makers.getValue(spec(case)).of(Golden.picture("pixels/${case["file"]}"), into)
            assertSame(into, pixels)
            assertEquals("${case["file"]}", case["sha256"], Sha256.of(pixels))
        }
    }

    /** Its square would have a million rows. */
    @Test
    fun aPictureOfAMillionByOneNeedsLittleMemory() {
        for ((columns, rows) in listOf(1 to 1_000_000, 1_000_000 to 1)) {
            val white = object : Picture {
                override val width = columns
                override val height = rows

                override fun readRow(y: Int, into: IntArray, at: Int) = into.fill(0xffffff, at, at + columns)
            }
            val pixels = SquarePixels(ImageSpec(336, 1, padColor)).of(white)
            for (channel in 0..2) {
                val expected = (padColor shr (16 - 8 * channel)).toByte()
                assertEquals(listOf(expected), pixels.slice(channel * 336 * 336 until (channel + 1) * 336 * 336).distinct())
            }
        }
    }

    @Test
    fun theUnusedByteOfAPixelDoesNotMatter() {
        val case = cases.first { it["file"] == "primes.ppm" }
        val picture = Golden.picture("pixels/primes.ppm")
        val opaque = ArrayPicture(picture.width, picture.height, IntArray(picture.pixels.size) { picture.pixels[it] or (0xff shl 24) })
        assertEquals(case["sha256"], Sha256.of(SquarePixels(spec(case)).of(opaque)))
    }

    @Test
    fun alphaIsComposedOverTheBackdrop() {
        val argb = IntArray(256 * 256) { index ->
            val (x, y) = index % 256 to index / 256
            y shl 24 or (x shl 16) or (x * 7 % 256 shl 8) or (255 - x)
        }
        val picture = ArrayPicture.ofArgb(256, 256, argb, backdrop = 0x7a7468)
        val rgb = ByteArray(3 * 256 * 256) { (picture.pixels[it / 3] shr (16 - 8 * (it % 3))).toByte() }
        // Pillow's Image.alpha_composite of the same over (122, 116, 104, 255), then convert("RGB").tobytes().
        assertEquals("b90aa8b26a57f922d22b3bf65bb859f72d92396d5f3eaa828ac795b7d09bc3eb", Sha256.of(rgb))
    }

    @Test
    fun aPictureNeedsPixels() {
        assertThrows(PictureException::class.java) { ArrayPicture(0, 1, IntArray(1)) }
        assertThrows(PictureException::class.java) { ArrayPicture(2, 2, IntArray(3)) }
        assertThrows(PictureException::class.java) { ArrayPicture(65_536, 65_536, IntArray(0)) }
        assertThrows(PictureException::class.java) { ArrayPicture.ofRgb(1, 1, ByteArray(4)) }
    }

    private fun requireSample(name: String, pixels: ByteArray, side: Int, sample: List<*>) {
        val (y, x, red, green, blue) = sample.map { (it as Long).toInt() }
        val got = List(3) { channel -> pixels[(channel * side + y) * side + x].toInt() and 255 }
        assertEquals("$name at $y, $x", listOf(red, green, blue), got)
    }
}
