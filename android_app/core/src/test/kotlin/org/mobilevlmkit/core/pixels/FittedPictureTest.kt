package org.mobilevlmkit.core.pixels

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.mobilevlmkit.core.camera.Crop

/** A part of a picture is chosen by a rectangle on the screen. */
class FittedPictureTest {
    /** 400 x 300 pixels in the middle of a tall screen: two screen pixels for one, 250 free above and below. */
    private val tall = FittedPicture(800, 1100, 400, 300)

    @Test
    fun itIsAsLargeAsItFitsInTheMiddle() {
        assertEquals(Crop(0, 250, 800, 600), tall.place)
        assertEquals(Crop(250, 0, 600, 800), FittedPicture(1100, 800, 300, 400).place)
        assertEquals(Crop(0, 0, 100, 100), FittedPicture(100, 100, 7, 7).place)
    }

    @Test
    fun aRectangleIsThePartBelowItFromWhicheverCorner() {
        val part = Crop(50, 25, 200, 100)
        assertEquals(part, tall.part(100f, 300f, 500f, 500f))
        assertEquals(part, tall.part(500f, 500f, 100f, 300f))
        assertEquals(part, tall.part(100f, 500f, 500f, 300f))
    }

    @Test
    fun whatIsBesideThePictureDoesNotCount() {
        assertEquals(Crop(0, 0, 400, 300), tall.part(-90f, 0f, 900f, 1100f))
        assertEquals(Crop(300, 200, 100, 100), tall.part(600f, 650f, 2000f, 2000f))
    }

    @Test
    fun aTouchOrALineIsNoPart() {
        assertNull(tall.part(100f, 300f, 100f, 300f))
        assertNull(tall.part(100f, 300f, 500f, 320f))
        assertNull(tall.part(100f, 10f, 500f, 200f)) // beside the picture
        assertNull(FittedPicture(0, 0, 400, 300).part(0f, 0f, 0f, 0f))
    }
}
