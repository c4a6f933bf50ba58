package org.mobilevlmkit.core

import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.pixels.ArrayPicture
import java.io.File

/** Reads `tests/golden`, the files shared by the tests of all languages. */
object Golden {
    val folder = File(System.getProperty("golden"))

    fun file(path: String): File = File(folder, path).also { check(it.isFile) { "$it is missing" } }

    fun json(path: String): Map<*, *> = JsonReader.read(file(path).readBytes()) as Map<*, *>

    /** The cases of the golden file [path], at least [least] of them. */
    fun cases(path: String, least: Int): List<Map<*, *>> {
        val cases = (json(path)["cases"] as List<*>).map { it as Map<*, *> }
        check(cases.size >= least) { "$path: ${cases.size} cases" }
        return cases
    }

    /** Reads a binary PPM: "P6", width, height and 255, each followed by one whitespace character, then RGB. */
    fun picture(path: String): ArrayPicture {
        val bytes = file(path).readBytes()
        var at = 0
        fun word(): String {
            val from = at
            while (bytes[at] > ' '.code) at++
            return String(bytes, from, at++ - from, Charsets.US_ASCII)
        }
        check(word() == "P6")
        val (width, height, largest) = List(3) { word().toInt() }
        check(largest == 255)
        return ArrayPicture.ofRgb(width, height, bytes.copyOfRange(at, bytes.size))
    }
}
