package org.mobilevlmkit.app

import android.net.Uri
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.pixels.Picture
import org.robolectric.Shadows.shadowOf
import kotlin.math.abs

/** Chosen pictures are read as sRGB, whatever color space the file has, as on the desktop. */
class PhotosTest : AppTestCase() {
    private fun read(name: String): Picture {
        val uri = Uri.parse("content://photos/$name")
        val file = Golden.file("profiles/$name.png")
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { file.inputStream() }
        return Photos.read(driver.app.contentResolver, uri, 0)
    }

    /** The largest color difference of [got], of 255. */
    private fun farthest(got: Picture, expected: Picture): Int {
        assertEquals(expected.width to expected.height, got.width to got.height)
        val (ours, theirs) = List(2) { IntArray(got.width) }
        return (0 until got.height).maxOf { y ->
            got.readRow(y, ours, 0)
            expected.readRow(y, theirs, 0)
            ours.indices.maxOf { x -> listOf(16, 8, 0).maxOf { abs((ours[x] shr it and 255) - (theirs[x] shr it and 255)) } }
        }
    }

    @Test
    fun aWidePhotoIsConvertedToSrgb() {
        val off = farthest(read("display-p3"), Golden.picture("profiles/in-srgb.ppm"))
        assertTrue("$off", off <= TOLERANCE)
        assertTrue(farthest(read("none"), Golden.picture("profiles/in-srgb.ppm")) > 50)
    }

    @Test
    fun aBrokenProfileIsIgnored() {
        for (name in listOf("none", "broken")) assertEquals(name, 0, farthest(read(name), Golden.picture("profiles/as-stored.ppm")))
    }

    private companion object {
        const val TOLERANCE = 2
    }
}
