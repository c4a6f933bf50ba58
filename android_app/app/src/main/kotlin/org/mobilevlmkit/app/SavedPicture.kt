package org.mobilevlmkit.app

import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import java.io.File
import java.io.IOException

/** Saves the current picture in the app's cache, in case the system ends the app in the background. */
class SavedPicture(private val dependencies: Dependencies) {
    private val file = File(dependencies.context.cacheDir, "picture.png")

    fun save(picture: Picture) = dependencies.io.execute {
        val temporary = File(file.parentFile, "${file.name}.part")
        try {
            temporary.outputStream().buffered().use { Png.write(picture, it) }
            temporary.renameTo(file)
        } catch (_: IOException) {
            temporary.delete() // without it, the conversation isn't restored
        }
    }

    fun load(): Picture {
        if (!file.isFile) throw PictureException("picture: got no saved picture, expected ${file.name}")
        return Photos.read(file)
    }

    fun delete() = dependencies.io.execute { file.delete() }
}
