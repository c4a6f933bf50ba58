package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assert.fail
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter
import java.io.File
import java.util.Random

class ManifestReaderTest {
    private val demo = Golden.file("manifests/good/demo.json")

    @Test
    fun readsTheDemoManifest() {
        val manifest = ManifestReader.read(demo)
        assertEquals(Sha256.of(demo.readBytes()), manifest.id)
        assertEquals("MobileVLM_V2-demo", manifest.sourceName)
        assertEquals(ModelSizes("MobileVLM_V2-demo", 640, 192, 168, 36), manifest.sizes)
        assertEquals(ImageSpec(168, 36, 0x7a7468), manifest.image)
        assertEquals("\n{question} ASSISTANT:", manifest.prompt.afterImage)
        assertEquals(listOf(2), manifest.prompt.stopIds)
        assertEquals(mapOf("executorch" to "model.pte"), manifest.artifacts)
        assertEquals("int8", manifest.recipe["vision"])
        assertEquals(listOf(512, 512), listOf(manifest.maxContext, manifest.maxPrefill))
        assertEquals(10_807_808L, manifest.memoryBytes)
        assertEquals("golden/golden.json", manifest.files.first().path)
        assertEquals(7, manifest.files.size)
    }

    @Test
    fun acceptsEveryGoodManifest() {
        val good = File(Golden.folder, "manifests/good").listFiles()!!
        assertTrue(good.size >= 3)
        for (file in good) assertEquals("$file", "MobileVLM_V2-demo", ManifestReader.read(file).sizes.name)
    }

    @Test
    fun refusesEveryBadManifestAndNamesTheField() {
        for (case in Golden.cases("manifests/bad.json", least = 45)) {
            val file = Golden.file("manifests/bad/${case["file"]}")
            val error = assertThrows("$file", BundleException::class.java) { ManifestReader.read(file) }
            val said = error.message!!
            assertTrue(said, said.startsWith("$file: "))
            assertTrue("$said, expected ${case["error_names"]}", case["error_names"] as String in said.removePrefix("$file: "))
            assertFalse(said, '\n' in said)
            assertTrue(said, said.length < "$file".length + 200)
        }
    }

    @Test
    fun recognizesWhatMustBeExportedAgain() {
        for (case in Golden.cases("manifests/outdated.json", least = 2)) {
            val manifest = ManifestReader.read(Golden.file("manifests/outdated/${case["file"]}"))
            assertEquals(1 to true, manifest.formatVersion to manifest.isOutdated)
            assertFalse(manifest.copy(artifacts = manifest.artifacts - "executorch").isOutdated)
        }
        val manifest = ManifestReader.read(demo)
        assertEquals(ManifestReader.FORMAT_VERSION to false, manifest.formatVersion to manifest.isOutdated)
    }

    @Test
    fun refusesWhatThisAppCannotServe() {
        val wrong = mapOf(
            "image.resample" to "lanczos",
            "image.size" to 0L,
            "image.size" to 100_000L,
            "image.pad_color" to listOf(1L, 2L),
            "image.pad_color" to listOf(1L, 2L, 256L),
            "context.max_context" to 0L,
        )
        for ((field, value) in wrong) {
            val error = assertThrows(BundleException::class.java) { read(changed(field.split('.'), value)) }
            assertTrue(error.message, field in error.message!!)
        }
    }

    @Test
    fun refusesAFileListedTwice() {
        val files = (json()["files"] as List<*>).let { it + it.last() }
        assertThrows(BundleException::class.java) { read(changed(listOf("files"), files)) }
    }

    /** Sizes whose sum overflows would pass the check of free space. */
    @Test
    fun refusesSizesThatOverflow() {
        @Suppress("UNCHECKED_CAST")
        val values = json() as Map<String, Any?>
        val huge = (values["files"] as List<*>).map { (it as Map<*, *>) + ("bytes" to Long.MAX_VALUE / 2) }
        assertTrue(isRefused(JsonWriter.write(values + ("files" to huge)).toByteArray()))
    }

    @Test
    fun aFileTooLargeForAManifestIsNotRead() {
        fun sized(bytes: Long) = object : File(demo.path) {
            override fun length() = bytes
        }
        assertEquals(ManifestReader.read(demo), ManifestReader.read(sized(1L shl 24)))
        val error = assertThrows(BundleException::class.java) { ManifestReader.read(sized((1L shl 24) + 1)) }
        assertTrue(error.message, "got 16777217 bytes, expected at most 16777216" in error.message!!)
    }

    @Test
    fun reportsAMissingManifest() {
        val error = assertThrows(BundleException::class.java) { ManifestReader.read(File("/nowhere/manifest.json")) }
        assertTrue(error.message, "no such file" in error.message!!)
    }

    /** For any bytes, the result is a manifest or a one-line error. */
    @Test
    fun survivesDamagedBytes() {
        val random = Random(20_261)
        val whole = demo.readBytes()
        var refused = 0
        repeat(3_000) {
            val bytes = whole.copyOf(if (random.nextInt(4) == 0) random.nextInt(whole.size) else whole.size)
            repeat(1 + random.nextInt(3)) { if (bytes.isNotEmpty()) bytes[random.nextInt(bytes.size)] = random.nextInt().toByte() }
            if (isRefused(bytes)) refused++
        }
        assertTrue("$refused", refused > 1_000)
    }

    /** Replaces every value of the manifest by each other type. */
    @Test
    fun survivesEveryValueOfEveryKind() {
        val kinds =
            listOf(null, true, -1L, 0L, Long.MAX_VALUE, 0.5, 1e300, "", "\u0000\n", emptyList<Any>(), listOf(-1L), emptyMap<String, Any>())
        var refused = 0
        for (path in paths(json())) {
            for (kind in kinds) if (isRefused(JsonWriter.write(changed(path, kind)).toByteArray())) refused++
        }
        assertTrue("$refused", refused > 300)
    }

    private fun isRefused(bytes: ByteArray): Boolean = try {
        ManifestReader.read(bytes, "manifest")
        false
    } catch (error: BundleException) {
        if ('\n' in error.message!! || error.message!!.length > 400) fail(error.message)
        true
    }

    private fun json() = JsonReader.read(demo.readBytes()) as Map<*, *>

    private fun read(values: Any?) = ManifestReader.read(JsonWriter.write(values).toByteArray(), "manifest")

    private fun paths(value: Any?): List<List<String>> = when (value) {
        is Map<*, *> -> value.flatMap { (key, inner) -> listOf(listOf("$key")) + paths(inner).map { listOf("$key") + it } }
        else -> emptyList()
    }

    private fun changed(path: List<String>, value: Any?, within: Any? = json()): Any? {
        if (path.isEmpty()) return value
        val outer = within as Map<*, *>
        return outer + (path.first() to changed(path.drop(1), value, outer[path.first()]))
    }
}
