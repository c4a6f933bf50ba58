package org.mobilevlmkit.core.prompt

import org.junit.Assert.assertEquals
import org.junit.Test
import org.mobilevlmkit.core.Golden
import java.util.Random

class TextStreamTest {
    @Test
    fun showsWhatTheReferenceShows() {
        for (case in Golden.cases("text_stream.json", least = 20)) {
            val stream = TextStream((case["specials"] as List<*>).map { it as String })
            val shown = (case["pieces"] as List<*>).map { stream.add(it as String) }
            assertEquals("${case["name"]}", case["shown"], shown)
            assertEquals("${case["name"]}", case["rest"], stream.finish())
        }
    }

    /** As in Python and WHATWG Encoding; Java's decoder turns all three into one U+FFFD. */
    @Test
    fun aSurrogateSpelledInBytesIsThreeErrors() {
        val stream = TextStream(emptyList())
        assertEquals(listOf("", "\uFFFD\uFFFD", "\uFFFD"), listOf("<0xED>", "<0xA0>", "<0x80>").map { stream.add(it) })
    }

    /** All other bytes decode as with Java's own decoder. */
    @Test
    fun bytesDecodeAsAWhole() {
        val random = Random(8)
        val leads = intArrayOf(0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xA0, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF)
        repeat(20_000) {
            val bytes = ByteArray(1 + random.nextInt(8)) { leads[random.nextInt(leads.size)].toByte() }
            val stream = TextStream(emptyList())
            val shown = bytes.joinToString("") { stream.add("<0x%02X>".format(it)) } + stream.finish()
            assertEquals(bytes.joinToString { "%02X".format(it) }, String(bytes, Charsets.UTF_8).removePrefix(" "), shown)
        }
    }
}
