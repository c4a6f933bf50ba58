package org.mobilevlmkit.core.bundle

/** A file of the bundle: its [path] in the bundle, size in [bytes], and [sha256] in hexadecimal. */
data class FileEntry(val path: String, val bytes: Long, val sha256: String)

/**
 * The vision encoder's input: a square of [size] × [size] pixels that takes [tokens] tokens of the prompt.
 *
 * @property padColor 0xRRGGBB, the padding of an image that isn't square
 */
data class ImageSpec(val size: Int, val tokens: Int, val padColor: Int)

/** The prompt template; [afterImage] and [followUp] contain `{question}`. */
data class PromptSpec(
    val beforeImage: String,
    val afterImage: String,
    val followUp: String,
    val bosId: Int,
    val stopIds: List<Int>,
    val stopText: String,
)

/**
 * A bundle's `manifest.json`, parsed and validated: everything a phone needs to know about a model.
 *
 * @property id SHA-256 of the manifest's bytes; identifies the bundle
 * @property formatVersion of the manifest, from 1 to [ManifestReader.FORMAT_VERSION]
 * @property artifacts program files by backend, such as `executorch`
 * @property recipe how each part is quantized: `name`, `llm`, `vision`, `projector`, `embedding`
 * @property maxContext tokens of a conversation, including the image's
 * @property maxPrefill tokens in one call of `text_decoder`
 * @property memoryBytes memory that a phone needs to run it
 */
data class Manifest(
    val id: String,
    val formatVersion: Int,
    val kitVersion: String,
    val sourceName: String,
    val sourceSha256: String,
    val sizes: ModelSizes,
    val image: ImageSpec,
    val prompt: PromptSpec,
    val tokenizerModel: String,
    val tokenizerJson: String,
    val artifacts: Map<String, String>,
    val recipe: Map<String, String>,
    val maxContext: Int,
    val maxPrefill: Int,
    val memoryBytes: Long,
    val files: List<FileEntry>,
) {
    /** Bytes of all files that the manifest lists. */
    val totalBytes: Long get() = files.sumOf { it.bytes }

    /** Whether its ExecuTorch program has an old format that gives wrong answers on phones, so that it must be exported again. */
    val isOutdated: Boolean get() = formatVersion < ManifestReader.EXECUTORCH_SINCE && "executorch" in artifacts
}
