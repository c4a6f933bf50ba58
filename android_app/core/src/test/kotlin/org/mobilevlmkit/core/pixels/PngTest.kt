package org.mobilevlmkit.core.pixels

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.mobilevlmkit.core.Golden
import java.io.ByteArrayOutputStream
import java.util.Random
import javax.imageio.ImageIO

class PngTest {
    private fun written(write: (ByteArrayOutputStream) -> Unit): ArrayPicture {
        val image = ImageIO.read(ByteArrayOutputStream().also(write).toByteArray().inputStream())
        return ArrayPicture(image.width, image.height, image.getRGB(0, 0, image.width, image.height, null, 0, image.width))
    }

    private fun requireSame(expected: ArrayPicture, got: ArrayPicture) {
        assertEquals(expected.width to expected.height, got.width to got.height)
        val colors = IntArray(expected.width * expected.height) { expected.pixels[it] and 0xffffff }
        assertArrayEquals(colors, IntArray(got.pixels.size) { got.pixels[it] and 0xffffff })
    }

    @Test
    fun anotherDecoderReadsTheSamePicture() {
        for (name in listOf("one-pixel", "a-banner", "a-tower", "primes", "double-stripes")) {
            val picture = Golden.picture("pixels/$name.ppm")
            requireSame(picture, written { Png.write(picture, it) })
        }
    }

    @Test
    fun aPictureOfManyChunksToo() {
        val random = Random(3)
        val noise = ArrayPicture(500, 300, IntArray(150_000) { random.nextInt() })
        requireSame(noise, written { Png.write(noise, it) })
    }

    @Test
    fun squaresAreTheModelsPixels() {
        val planes = byteArrayOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1)
        requireSame(ArrayPicture(2, 2, intArrayOf(0x010509, 0x02060a, 0x03070b, 0x0408ff)), written { Png.writeSquare(planes, 2, it) })
    }
}
