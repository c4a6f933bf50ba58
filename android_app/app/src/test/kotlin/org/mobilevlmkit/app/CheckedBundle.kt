package org.mobilevlmkit.app

import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.check.CheckFixture
import org.mobilevlmkit.core.check.Record
import org.mobilevlmkit.core.check.RecordMaker
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.session.Ended
import java.io.File

/** A bundle with golden records of two pictures, and the expected answers. */
object CheckedBundle {
    const val QUESTION = "What is this?"
    val says = listOf("▁a", "▁red", "▁circle", "</s>")
    const val OTHER_ANSWER = "a red star"
    val pictures = listOf(Scenery.file, Scenery.other)

    /** [change] can falsify a record; it receives the index of the picture. */
    fun writeTo(folder: File, change: (Int, Record) -> Record = { _, record -> record }) {
        TestBundle().writeTo(folder)
        val fixture = CheckFixture()
        val maker = RecordMaker(fixture.model, fixture.Methods())
        val records = pictures.mapIndexed { index, picture ->
            picture.copyTo(File(folder, "golden/${picture.name}"))
            val pixels = fixture.model.pixels(Photos.read(picture))
            val ids = says.dropLast(1).map(fixture.tokenizer::id).takeIf { -1 !in it }
            val record = maker.make(pixels, QUESTION, 8, "a red circle", ids, Ended.COMPLETE)
            change(index, record).toJson() + ("picture" to picture.name)
        }
        File(folder, "golden/golden.json").writeText(JsonWriter.write(mapOf("records" to records)))
        val manifest = File(folder, "manifest.json")
        val values = JsonReader.read(manifest.readBytes()) as Map<*, *>
        val added = (pictures.map { it.name } + "golden.json").map { entry(folder, "golden/$it") }
        manifest.writeText(JsonWriter.write(values + ("files" to values["files"] as List<*> + added)))
    }

    private fun entry(folder: File, path: String): Map<String, Any?> {
        val bytes = File(folder, path).readBytes()
        return mapOf("path" to path, "bytes" to bytes.size, "sha256" to Sha256.of(bytes))
    }
}
