package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonFields
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.prompt.Prompt
import java.io.File
import java.io.IOException

/** Parses `manifest.json` as specified in `docs/reference/bundle-format.md`; `tests/golden/manifests` holds valid and invalid ones. */
object ManifestReader {
    const val FILE_NAME = "manifest.json"
    const val FORMAT_VERSION = 2

    /** The first format whose ExecuTorch programs are correct on phones; with older ones, engines freed constants still in use. */
    const val EXECUTORCH_SINCE = 2

    /** The resize that [org.mobilevlmkit.core.pixels.SquarePixels] implements. */
    const val RESAMPLE = "pillow-bicubic-8bit"

    /** LLaMA's end-of-text token. */
    private const val STOP_TEXT = "</s>"
    const val MAX_BYTES = 1 shl 24
    private const val LARGEST_SIDE = 4096

    /** In bytes. The sum over all files that a manifest of [MAX_BYTES] can list doesn't overflow. */
    private const val LARGEST_FILE = 1L shl 40
    private val SHA256 = Regex("[0-9a-f]{64}")
    private val PLAIN_PATH = Regex("[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
    private const val LONGEST_PATH = 200

    /**
     * Reads the manifest in [file].
     *
     * @throws BundleException it is missing, malformed, of a newer format, names a path outside the bundle, or names a file
     *   without its hash.
     */
    fun read(file: File): Manifest {
        if (!file.isFile) throw BundleException("$file: no such file, expected a bundle's manifest")
        if (file.length() > MAX_BYTES) throw BundleException("$file: got ${file.length()} bytes, expected at most $MAX_BYTES")
        val bytes = try {
            file.readBytes()
        } catch (error: IOException) {
            throw BundleException("$file: ${error.message}, expected a bundle's manifest")
        }
        return read(bytes, "$file")
    }

    /** Like [read], from [bytes]; errors refer to them as [where]. */
    fun read(bytes: ByteArray, where: String): Manifest {
        val fail = { message: String -> BundleException("$where: $message") }
        val values = try {
            JsonReader.read(bytes)
        } catch (error: JsonException) {
            throw fail("${error.message}; expected a JSON object")
        }
        val fields = JsonFields(values as? Map<*, *> ?: emptyMap<String, Any?>(), fail)
        val version = knownFormat(fields, fail)
        val image = image(fields)
        val manifest = Manifest(
            id = Sha256.of(bytes),
            formatVersion = version,
            kitVersion = fields.text("kit_version"),
            sourceName = fields.find("source.name") as? String ?: "",
            sourceSha256 = fields.anObject("source").let { fields.text("source.sha256") },
            sizes = ModelSizes.from(fields.anObject("model"), fail),
            image = image,
            prompt = prompt(fields),
            tokenizerModel = fields.anObject("tokenizer").let { fields.text("tokenizer.model") },
            tokenizerJson = fields.text("tokenizer.json"),
            artifacts = artifacts(fields.anObject("artifacts"), fail),
            recipe = fields.anObject("quantization").let { recipe(fields.anObject("quantization.recipe")) },
            maxContext = fields.anObject("context").let { fields.integer("context.max_context", 1..Int.MAX_VALUE) },
            maxPrefill = fields.integer("context.max_prefill", 1..Int.MAX_VALUE),
            memoryBytes = fields.anObject("memory").let { fields.number("memory.bytes") },
            files = fields.list("files").map { fileEntry(it, fail) },
        )
        requireFit(fields, manifest)
        requireListed(manifest, fail)
        return manifest
    }

    /** Throws BundleException if [name], a path in [where], could lead out of the bundle's folder on any system. */
    fun requireInside(name: String, where: String) {
        val parts = parts(name)
        val outside = parts.isEmpty() || name.startsWith("/") || ".." in parts || name.any { it == '\\' || it == ':' || it == '\u0000' }
        if (outside) throw BundleException("$where: got the path ${JsonFields.shown(name, 60)}, expected one inside the bundle")
    }

    /** Throws unless [path] is a path in the bundle that means the same on every system and in every shell. */
    private fun requirePlain(path: String, fail: (String) -> BundleException) {
        val isPlain = path.length <= LONGEST_PATH && PLAIN_PATH.matches(path) && path.split('/').none { part -> part.all { it == '.' } }
        if (!isPlain) {
            val got = JsonFields.shown(path, 60)
            throw fail("files: got the path $got, expected one inside the bundle of letters, digits, '.', '_' and '-'")
        }
    }

    private fun parts(path: String) = path.split('/').filter { it.isNotEmpty() && it != "." }

    private fun knownFormat(fields: JsonFields, fail: (String) -> Exception): Int {
        val version = fields.find("format_version")
        if (version !is Long || version < 1) throw fields.wrong("format_version", version, "$FORMAT_VERSION")
        if (version > FORMAT_VERSION) throw fail("got format version $version, expected at most $FORMAT_VERSION: update the app")
        return version.toInt()
    }

    private fun image(fields: JsonFields): ImageSpec {
        fields.anObject("image")
        val size = fields.integer("image.size", 1..LARGEST_SIDE)
        val tokens = fields.integer("image.tokens", 1..Int.MAX_VALUE)
        val color = fields.integers("image.pad_color")
        if (color.size != 3 || color.any { it !in 0..255 }) {
            throw fields.wrong("image.pad_color", color.asList(), "three numbers from 0 to 255")
        }
        val resample = fields.text("image.resample")
        if (resample != RESAMPLE) throw fields.wrong("image.resample", resample, "'$RESAMPLE': update the app")
        return ImageSpec(size, tokens, color[0] shl 16 or (color[1] shl 8) or color[2])
    }

    /** Checks that the manifest's image and prompt settings match the model config, since a mismatch would give wrong answers. */
    private fun requireFit(fields: JsonFields, manifest: Manifest) {
        fun require(name: String, got: Any?, expected: Any?) {
            if (got != expected) throw fields.wrong(name, got, "${JsonFields.shown(expected, 60)}, as in the model's config")
        }
        require("image.size", manifest.image.size, manifest.sizes.imageSize)
        require("image.tokens", manifest.image.tokens, manifest.sizes.imageTokens)
        for (name in listOf("mean", "std")) {
            val expected = (fields.find("model.vision_config.image_$name") as? List<*>)?.map { (it as? Number)?.toDouble() }
            require("image.$name", fields.decimals("image.$name").asList(), expected)
        }
        val color = fields.decimals("image.mean").map { (it * 255).toLong() }
        require("image.pad_color", fields.list("image.pad_color"), color)
        require("prompt.bos_id", manifest.prompt.bosId, id(fields, "model.bos_token_id", 1))
        require("prompt.stop_ids", manifest.prompt.stopIds, listOf(id(fields, "model.eos_token_id", 2)))
        require("prompt.stop_text", manifest.prompt.stopText, STOP_TEXT)
    }

    private fun id(fields: JsonFields, name: String, default: Int): Int = (fields.find(name) as? Number)?.toInt() ?: default

    private fun prompt(fields: JsonFields): PromptSpec {
        fields.anObject("prompt")
        return PromptSpec(
            beforeImage = fields.text("prompt.before_image"),
            afterImage = question(fields, "prompt.after_image"),
            followUp = question(fields, "prompt.follow_up"),
            bosId = fields.integer("prompt.bos_id"),
            stopIds = fields.integers("prompt.stop_ids").asList(),
            stopText = fields.text("prompt.stop_text"),
        )
    }

    private fun question(fields: JsonFields, name: String): String {
        val text = fields.text(name)
        if (Prompt.QUESTION !in text) throw fields.wrong(name, text, "a text with ${Prompt.QUESTION}")
        return text
    }

    private fun artifacts(values: Map<*, *>, fail: (String) -> Exception): Map<String, String> =
        values.entries.associate { (backend, artifact) ->
            val file = (artifact as? Map<*, *>)?.get("file") as? String
                ?: throw fail("artifacts.$backend: got ${JsonFields.shown(artifact, 60)}, expected an object with a file")
            backend as String to file
        }

    private fun recipe(values: Map<*, *>): Map<String, String> = values.entries.associate { (part, scheme) -> "$part" to "$scheme" }

    private fun fileEntry(entry: Any?, fail: (String) -> BundleException): FileEntry {
        val values = entry as? Map<*, *>
        val path = values?.get("path") as? String
        val bytes = values?.get("bytes") as? Long
        val sha256 = values?.get("sha256") as? String
        if (path == null || bytes == null || sha256 == null) {
            throw fail("files: got ${JsonFields.shown(entry, 80)}, expected path, bytes and sha256")
        }
        requirePlain(path, fail)
        if (bytes !in 0..LARGEST_FILE || !SHA256.matches(sha256)) {
            throw fail("files: got ${JsonFields.shown(entry, 80)}, expected a size and 64 hexadecimal digits")
        }
        return FileEntry(path, bytes, sha256)
    }

    /** Checks that every file a reader opens is listed with a hash, exactly once. */
    private fun requireListed(manifest: Manifest, fail: (String) -> Exception) {
        val listed = manifest.files.map { it.path }.toSet()
        val places = HashSet<String>()
        for (entry in manifest.files) {
            // Shared storage may not distinguish upper and lower case.
            if (!places.add(entry.path.lowercase())) throw fail("files: got ${JsonFields.shown(entry.path, 60)} twice, expected it once")
        }
        val named = mapOf("tokenizer.model" to manifest.tokenizerModel, "tokenizer.json" to manifest.tokenizerJson) +
            manifest.artifacts.mapKeys { "artifacts.${it.key}" }
        for ((field, name) in named) {
            if (name !in listed) throw fail("$field: got ${JsonFields.shown(name, 60)}, expected a path listed in files")
        }
    }
}
