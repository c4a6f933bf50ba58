package org.mobilevlmkit.core.pixels

import org.junit.Assert.assertEquals
import org.junit.Test

class OrientationTest {
    // The stored image a b c / d e f as a viewer shows it for each EXIF value.
    private val shown = mapOf(
        1 to "abc/def",
        2 to "cba/fed",
        3 to "fed/cba",
        4 to "def/abc",
        5 to "ad/be/cf",
        6 to "da/eb/fc",
        7 to "fc/eb/da",
        8 to "cf/be/ad",
    )
    private val stored = ArrayPicture(3, 2, IntArray(6) { 'a'.code + it })

    private fun spelled(picture: Picture): String = (0 until picture.height).joinToString("/") { y ->
        val row = IntArray(picture.width)
        picture.readRow(y, row, 0)
        String(CharArray(row.size) { row[it].toChar() })
    }

    @Test
    fun turnsByExif() {
        for ((value, expected) in shown) assertEquals("$value", expected, spelled(Orientation.ofExif(value).upright(stored)))
    }

    @Test
    fun anyOtherValueIsUpright() {
        for (value in listOf(-1, 0, 9, 1000)) assertEquals(Orientation.UPRIGHT, Orientation.ofExif(value))
    }

    @Test
    fun rotationsAreClockwise() {
        assertEquals("da/eb/fc", spelled(Orientation.ofRotation(90).upright(stored)))
        assertEquals("fed/cba", spelled(Orientation.ofRotation(180).upright(stored)))
        assertEquals("cf/be/ad", spelled(Orientation.ofRotation(270).upright(stored)))
    }
}
