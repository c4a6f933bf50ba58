package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import java.io.File
import java.io.IOException

/** A record in a bundle and the image it was made from, a PNG. */
class GoldenRecord(val name: String, val picture: File, val record: Record)

/** The records in a bundle's folder `golden`. */
object GoldenRecords {
    private const val FOLDER = "golden"
    private const val INDEX = "$FOLDER/golden.json"

    /**
     * The golden records of the bundle in [folder].
     *
     * @throws CaptureException there are none, or they can't be read.
     */
    fun read(folder: File, manifest: Manifest): List<GoldenRecord> {
        val index = File(folder, INDEX)
        val listed = manifest.files.map { it.path }.toSet()
        if (INDEX !in listed) throw CaptureException("${folder.name}: got no golden records; create them with: mvlm golden BUNDLE")
        val entries = try {
            (JsonReader.read(index.readBytes()) as? Map<*, *>)?.get("records") as? List<*>
        } catch (error: JsonException) {
            throw CaptureException("$index: ${error.message}; expected a JSON object")
        } catch (error: IOException) {
            throw CaptureException("$index: ${error.message}, expected golden records")
        }
        if (entries.isNullOrEmpty()) throw CaptureException("$index: records: got none, expected a list of records")
        return entries.mapIndexed { at, entry ->
            val record = Record.fromJson(entry, "$index: record ${at + 1}")
            val name = (entry as Map<*, *>)["picture"] as? String
            if (name == null || "$FOLDER/$name" !in listed) {
                throw CaptureException("$index: record ${at + 1}: picture: got $name, expected a listed file")
            }
            GoldenRecord(name, File(folder, "$FOLDER/$name"), record)
        }
    }
}
