package org.mobilevlmkit.app

import android.graphics.Bitmap
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.camera.Crop
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import org.mobilevlmkit.core.pixels.cropped
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.VlmSession
import java.io.File
import java.io.IOException

/**
 * The picture that is asked about: read, shown, a part of it, and the one before. For the main thread.
 *
 * @param onShow called before a picture is shown
 */
class Pictures(
    private val dependencies: Dependencies,
    private val session: VlmSession,
    private val holder: StateHolder,
    private val onShow: () -> Unit,
) {
    private class Whole(val picture: Picture, val bitmap: Bitmap, val turns: List<ChatTurn>)

    private val saved = SavedPicture(dependencies)
    private var whole: Whole? = null // of which the picture is a part
    private var previous: List<ChatTurn>? = null // the conversation about the previous picture, which is in a file
    private var requests = 0 // counts requests for pictures, so that late ones are dropped

    /** The picture itself; null while the camera is aimed. */
    var shown: Picture? = null
        private set

    /** When the conversation about it began, in milliseconds since 1970. */
    var began = 0L
        private set

    /** The conversation's finished turns. */
    fun finished() = session.state.turns.filter { it.ended != null }

    /** Shows what [get] gives, called on another thread, and continues the conversation [turns] about it, which began at [since]. */
    fun read(turns: List<ChatTurn> = emptyList(), since: Long? = null, get: () -> Picture) {
        readPart(turns, since, null, get)
    }

    /** As [read]; the picture is a part of [of]. */
    private fun readPart(turns: List<ChatTurn>, since: Long?, of: Whole?, get: () -> Picture) {
        val request = ++requests
        holder.change { copy(isReadingPicture = true, pictureProblem = null) }
        dependencies.io.execute {
            val (picture, problem) = try {
                get() to null
            } catch (error: PictureException) {
                null to error.message
            }
            val bitmap = picture?.let(Photos::bitmap)
            dependencies.main.execute {
                if (request == requests) {
                    holder.change { copy(isReadingPicture = false, pictureProblem = problem) }
                    if (picture != null && bitmap != null) showPart(picture, bitmap, turns, since, of)
                }
            }
        }
    }

    /** The picture of the saved state, in which the conversation [turns] began at [since]. */
    fun restore(turns: List<ChatTurn>, since: Long) = read(turns, since) { saved.load() }

    fun show(picture: Picture, bitmap: Bitmap) = showPart(picture, bitmap, emptyList(), null, null)

    private fun showPart(picture: Picture, bitmap: Bitmap, turns: List<ChatTurn>, since: Long?, of: Whole?) {
        requests++
        onShow()
        shown = picture
        whole = of
        began = since ?: dependencies.wallMs()
        saved.save(picture)
        holder.change {
            copy(
                picture = bitmap,
                pictureSize = picture.width to picture.height,
                isPart = of != null,
                isEnlarged = false,
                isReadingPicture = false,
                pictureProblem = null,
            )
        }
        if (turns.isEmpty()) session.show(picture) else session.resume(picture, turns)
    }

    /** Another conversation about the same picture begins. */
    fun beginAgain() {
        began = dependencies.wallMs()
    }

    /** Shows the picture alone, or no longer. */
    fun enlarge(isEnlarged: Boolean) = holder.change { copy(isEnlarged = isEnlarged && picture != null) }

    /** [part] of the picture becomes the picture: the model sees it larger. */
    fun askAboutPart(part: Crop) {
        val picture = shown ?: return
        val bitmap = holder.state.picture ?: return
        readPart(emptyList(), null, whole ?: Whole(picture, bitmap, finished())) { picture.cropped(part) }
    }

    /** Back to the picture of which a part was shown. */
    fun backToWhole() {
        val back = whole ?: return
        showPart(back.picture, back.bitmap, back.turns, null, null)
    }

    /** Back to the camera; [undo] restores the picture and its conversation. */
    fun leave() {
        if (shown != null) {
            previous = finished()
            saved.setAside()
        }
        session.stop()
        clear()
    }

    /** The previous picture with its conversation. */
    fun undo() {
        val turns = previous ?: return
        previous = null
        holder.change { copy(hasPrevious = false) }
        read(turns) { saved.loadSetAside() }
    }

    /** Leaves no trace of this picture and the one before. */
    fun forget() {
        previous = null
        saved.delete()
        clear()
    }

    private fun clear() {
        requests++
        shown = null
        whole = null
        holder.change {
            copy(picture = null, isEnlarged = false, isReadingPicture = false, pictureProblem = null, hasPrevious = previous != null)
        }
    }

    /** Writes the picture for other apps and passes its file name to [onFile]. */
    fun write(onFile: (String) -> Unit) {
        val picture = shown ?: return
        dependencies.io.execute {
            val file = File(CaptureProvider.folder(dependencies.context), "picture.png")
            try {
                file.outputStream().buffered().use { Png.write(picture, it) }
            } catch (_: IOException) {
                return@execute // no room
            }
            dependencies.main.execute { onFile(file.name) }
        }
    }
}
