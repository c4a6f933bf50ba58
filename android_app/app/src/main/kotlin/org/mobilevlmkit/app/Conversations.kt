package org.mobilevlmkit.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import java.io.File
import java.io.IOException

/** A kept conversation in a list: when it began (milliseconds since 1970), its first question, and its picture, small. */
class KeptConversation(val began: Long, val question: String, val thumbnail: Bitmap?)

/**
 * The conversations that the user wants to keep, each in a folder below [folder] named by when it began: the picture, and the questions
 * and answers. Every method reads or writes files, so it isn't for the main thread.
 */
class Conversations(private val folder: File) {
    /** Writes the conversation that began at [began]; the picture only once. The oldest beyond [most] are deleted. */
    fun keep(began: Long, picture: Picture, turns: List<ChatTurn>, most: Int) {
        val place = File(folder, "$began")
        val isNew = !File(place, TURNS).isFile
        try {
            place.mkdirs()
            if (!File(place, PICTURE).isFile) whole(place, PICTURE) { out -> out.outputStream().buffered().use { Png.write(picture, it) } }
            val said = turns.map { mapOf("question" to it.question, "answer" to it.answer, "ended" to it.ended?.name) }
            whole(place, TURNS) { it.writeText(JsonWriter.write(mapOf("turns" to said))) }
        } catch (_: IOException) {
            // No room: nothing half-written is kept, but what was kept before is.
            if (isNew) place.deleteRecursively()
        }
        all().drop(most).forEach { it.deleteRecursively() }
    }

    /** Newest first. */
    fun list(): List<KeptConversation> = all().mapNotNull { place ->
        val first = turns(place)?.firstOrNull() ?: return@mapNotNull null
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeFile(File(place, PICTURE).path, options)
        options.inSampleSize = maxOf(1, maxOf(options.outWidth, options.outHeight) / THUMBNAIL)
        options.inJustDecodeBounds = false
        KeptConversation(place.name.toLong(), first.question, BitmapFactory.decodeFile(File(place, PICTURE).path, options))
    }

    /** The questions and answers of the conversation that began at [began]. */
    fun turns(began: Long): List<ChatTurn> = turns(File(folder, "$began")).orEmpty()

    /** @throws PictureException it can't be read. */
    fun picture(began: Long): Picture = try {
        Photos.read(File(File(folder, "$began"), PICTURE))
    } catch (error: IOException) {
        throw PictureException("picture: ${error.message}")
    }

    fun delete(began: Long) {
        File(folder, "$began").deleteRecursively()
    }

    fun deleteAll() {
        folder.deleteRecursively()
    }

    fun count(): Int = all().size

    private fun all() = folder.listFiles().orEmpty().filter { it.name.toLongOrNull() != null }.sortedByDescending { it.name.toLong() }

    private fun turns(place: File): List<ChatTurn>? = try {
        val read = JsonReader.read(File(place, TURNS).readBytes()) as? Map<*, *>
        (read?.get("turns") as? List<*>)?.filterIsInstance<Map<*, *>>()?.map { turn ->
            ChatTurn("${turn["question"]}", "${turn["answer"]}", Ended.values().firstOrNull { it.name == turn["ended"] } ?: Ended.COMPLETE)
        }
    } catch (_: IOException) {
        null
    } catch (_: JsonException) {
        null
    }

    private fun whole(place: File, name: String, write: (File) -> Unit) {
        val temporary = File(place, "$name.part")
        try {
            write(temporary)
            if (!temporary.renameTo(File(place, name))) throw IOException("$name: can't be renamed")
        } finally {
            temporary.delete()
        }
    }

    private companion object {
        const val PICTURE = "picture.png"
        const val TURNS = "turns.json"

        /** At least this many pixels on the longer side. */
        const val THUMBNAIL = 160
    }
}
