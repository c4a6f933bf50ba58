package org.mobilevlmkit.app

import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import java.io.File
import java.io.IOException

/**
 * Saves the current picture in the app's cache, in case the system ends the app in the background, and the one before it for undo:
 * memory holds one decoded picture only.
 */
class SavedPicture(private val dependencies: Dependencies) {
    private val file = File(dependencies.context.cacheDir, "picture.png")
    private val previous = File(dependencies.context.cacheDir, "previous.png")

    fun save(picture: Picture) = dependencies.io.execute {
        val temporary = File(file.parentFile, "${file.name}.part")
        try {
            temporary.outputStream().buffered().use { Png.write(picture, it) }
            temporary.renameTo(file)
        } catch (_: IOException) {
            temporary.delete() // without it, the conversation isn't restored
        }
    }

    /** The current picture becomes the previous one. */
    fun setAside() = dependencies.io.execute { file.renameTo(previous) }

    /** @throws PictureException as [loadSetAside], there is none. */
    fun load(): Picture = load(file)

    fun loadSetAside(): Picture = load(previous)

    fun delete() = dependencies.io.execute {
        file.delete()
        previous.delete()
    }

    private fun load(from: File): Picture {
        if (!from.isFile) throw PictureException("picture: got no saved picture, expected ${from.name}")
        return Photos.read(from)
    }
}
