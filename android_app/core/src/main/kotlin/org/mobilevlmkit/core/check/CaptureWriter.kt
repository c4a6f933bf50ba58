package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.CaptureException
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.json.JsonWriter
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/**
 * What this phone computed for one question, to be replayed on a desktop (`mvlm replay`).
 *
 * @property pixels the vision encoder's input, uint8 [3, S, S]
 * @property picture the image they were made from; null if it isn't shared
 * @property device and [stats] free-form JSON values: model, system, seconds, …
 */
class Capture(
    val manifest: Manifest,
    val record: Record,
    val pixels: ByteArray,
    val picture: Picture?,
    val device: Map<String, Any?>,
    val stats: Map<String, Any?>,
)

/** Writes captures as zips: `capture.json`, `pixels.png` and optionally `picture.png` (`docs/reference/bundle-format.md`). */
object CaptureWriter {
    private const val FORMAT_VERSION = 1

    /**
     * Writes [file] completely or not at all.
     *
     * @throws CaptureException it exists, can't be written, or the pixels don't match the record.
     */
    fun write(capture: Capture, file: File) {
        if (file.exists()) throw CaptureException("$file: already exists; choose another name")
        val sha256 = Sha256.of(capture.pixels)
        if (sha256 != capture.record.pixelsSha256) {
            throw CaptureException(
                "$file: got pixels with SHA-256 ${sha256.take(16)}…, expected the record's ${capture.record.pixelsSha256.take(16)}…",
            )
        }
        val temporary = File(file.absoluteFile.parentFile, ".${file.name}.part")
        try {
            FileOutputStream(temporary).use { fill(capture, it) }
            if (!temporary.renameTo(file)) throw IOException("can't be renamed from $temporary")
        } catch (error: IOException) {
            throw CaptureException("$file: ${error.message}, expected a writable location")
        } finally {
            temporary.delete()
        }
    }

    private fun fill(capture: Capture, out: FileOutputStream) {
        val values = linkedMapOf(
            "format_version" to FORMAT_VERSION,
            "manifest_id" to capture.manifest.id,
            "device" to capture.device,
            "stats" to capture.stats,
            "record" to capture.record.toJson(),
        )
        val zip = ZipOutputStream(out)
        zip.putNextEntry(ZipEntry("capture.json"))
        zip.write(JsonWriter.write(values).toByteArray())
        zip.putNextEntry(ZipEntry("pixels.png"))
        Png.writeSquare(capture.pixels, capture.manifest.image.size, zip)
        if (capture.picture != null) {
            zip.putNextEntry(ZipEntry("picture.png"))
            Png.write(capture.picture, zip)
        }
        zip.finish()
        out.fd.sync()
    }
}
