package org.mobilevlmkit.core.seam

import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.pixels.ArrayPicture
import java.io.File
import javax.imageio.ImageIO

/**
 * The results of Python's runner, in the folder named by the environment variable `SEAM` (made by `tests/seam.py`): `demo.mvlm`, the same
 * zipped, PNG pictures, and `cases.json` with `cases`, each a `picture` and `turns`, and the `command` that runs `tests/pipe_engine.py`.
 */
object Seam {
    private val folder = File(checkNotNull(System.getenv("SEAM")) { "SEAM isn't set; the tests of tests/host set it" })
    val given = JsonReader.read(file("cases.json").readBytes()) as Map<*, *>
    val cases = (given["cases"] as List<*>).map { it as Map<*, *> }
    val bundle: File get() = file("demo.mvlm")

    fun file(name: String) = File(folder, name)

    fun turns(case: Map<*, *>) = (case["turns"] as List<*>).map { it as Map<*, *> }

    fun picture(name: String): ArrayPicture = picture(file(name))

    fun picture(file: File): ArrayPicture {
        val image = ImageIO.read(file)
        return ArrayPicture(image.width, image.height, image.getRGB(0, 0, image.width, image.height, null, 0, image.width))
    }
}
