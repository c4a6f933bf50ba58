package org.mobilevlmkit.core.bundle

import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.InputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** A small generated bundle: the demo's manifest, a program of [programBytes] bytes, the demo's tokenizer and a picture. */
class TestBundle(seed: Int = 1, programBytes: Int = 20_000, change: (Map<String, Any?>) -> Map<String, Any?> = { it }) {
    val files: Map<String, ByteArray> = sortedMapOf(
        "golden/a.ppm" to Golden.file("pixels/primes.ppm").readBytes(),
        "model.pte" to ByteArray(programBytes) { (it * 31 + seed).toByte() },
        "tokenizer.json" to Golden.file("prompts/demo.tokenizer.json").readBytes(),
        "tokenizer.model" to byteArrayOf(1, 2, 3),
    )
    val manifest: ByteArray = run {
        @Suppress("UNCHECKED_CAST")
        val values = JsonReader.read(Golden.file("manifests/good/demo.json").readBytes()) as Map<String, Any?>
        val listed = files.map { (path, bytes) -> mapOf("path" to path, "bytes" to bytes.size, "sha256" to Sha256.of(bytes)) }
        JsonWriter.write(change(values + ("files" to listed))).toByteArray()
    }

    /** In the order of `mvlm export --zip`. */
    val entries: List<Pair<String, ByteArray>> get() = (files.toList() + ("manifest.json" to manifest)).sortedBy { it.first }

    fun zipped(): ByteArray = zip(entries)

    fun writeTo(folder: File) {
        for ((path, bytes) in entries) File(folder, path).also { it.parentFile.mkdirs() }.writeBytes(bytes)
    }

    companion object {
        /** A RAM disk if there is one with enough space, so that hundreds of imports don't wait for the disk. */
        fun temporaryFolder() = TemporaryFolder(File("/dev/shm").takeIf { it.canWrite() && it.usableSpace > 1L shl 30 })

        fun zip(entries: List<Pair<String, ByteArray>>): ByteArray {
            val out = ByteArrayOutputStream()
            ZipOutputStream(out).use { zip ->
                for ((name, bytes) in entries) {
                    zip.putNextEntry(ZipEntry(name))
                    zip.write(bytes)
                }
            }
            return out.toByteArray()
        }

        fun opening(bytes: ByteArray): () -> InputStream = { ByteArrayInputStream(bytes) }
    }
}
