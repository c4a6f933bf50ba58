package org.mobilevlmkit.app

import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import java.io.File
import java.io.IOException

/** The picture in use, in the app's own cache, for when the system ends the app in the background. */
class SavedPicture(private val dependencies: Dependencies) {
    private val file = File(dependencies.context.cacheDir, "picture.png")

    fun save(picture: Picture) = dependencies.io.execute {
        val beside = File(file.parentFile, "${file.name}.part")
        try {
            beside.outputStream().buffered().use { Png.write(picture, it) }
            beside.renameTo(file)
        } catch (_: IOException) {
            beside.delete() // without it, the conversation just isn't restored
        }
    }

    fun load(): Picture = if (file.isFile) Photos.read(file) else throw PictureException("picture: got none kept, expected ${file.name}")

    fun delete() = dependencies.io.execute { file.delete() }
}
