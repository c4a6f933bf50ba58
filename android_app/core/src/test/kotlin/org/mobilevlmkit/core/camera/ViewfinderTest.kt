package org.mobilevlmkit.core.camera

import org.junit.Assert.assertEquals
import org.junit.Test
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.pixels.cropped

/** What is seen is what is asked about. */
class ViewfinderTest {
    @Test
    fun aTallViewfinderCutsOffTheSides() {
        assertEquals(Crop(192, 0, 576, 1280), Viewfinder(1080, 2400).visible(960, 1280))
    }

    @Test
    fun aWideViewfinderCutsOffAboveAndBelow() {
        assertEquals(Crop(0, 192, 1280, 576), Viewfinder(2400, 1080).visible(1280, 960))
    }

    @Test
    fun theSameShapeOrNoViewfinderShowsAll() {
        assertEquals(Crop(0, 0, 960, 1280), Viewfinder(1080, 1440).visible(960, 1280))
        assertEquals(Crop(0, 0, 960, 1280), Viewfinder(0, 0).visible(960, 1280))
    }

    @Test
    fun evenTheThinnestViewfinderShowsAPixel() {
        assertEquals(Crop(1, 0, 1, 4), Viewfinder(1, 9000).visible(4, 4))
        assertEquals(Crop(0, 1, 4, 1), Viewfinder(9000, 1).visible(4, 4))
    }

    @Test
    fun aPictureIsCutToIt() {
        val picture = ArrayPicture(4, 3, IntArray(12) { it })
        val cut = picture.cropped(Viewfinder(100, 150).visible(4, 3))
        assertEquals(2 to 3, cut.width to cut.height)
        assertEquals(listOf(1, 2, 5, 6, 9, 10), cut.pixels.toList())
    }

    @Test
    fun aTouchIsFoundOnTheSensor() {
        val phone = Viewfinder(1080, 2400)
        fun at(x: Float, y: Float, rotation: Int, isMirrored: Boolean = false) =
            phone.onSensor(x, y, 960, 1280, rotation, isMirrored).let { (u, v) -> "%.1f %.1f".format(u, v) }
        for (rotation in listOf(0, 90, 180, 270)) assertEquals("0.5 0.5", at(0.5f, 0.5f, rotation))
        assertEquals("0.2 0.0", at(0f, 0f, 0))
        assertEquals("0.0 0.8", at(0f, 0f, 90)) // the upper left corner of what is visible
        assertEquals("0.8 1.0", at(0f, 0f, 180))
        assertEquals("1.0 0.2", at(0f, 0f, 270))
        assertEquals("1.0 0.8", at(0f, 0f, 270, isMirrored = true))
    }

    @Test
    fun theSensorIsTurnedWithTheScreen() {
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { Viewfinder.rotation(90, it, isFront = false) })
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { Viewfinder.rotation(270, it, isFront = true) })
    }
}
