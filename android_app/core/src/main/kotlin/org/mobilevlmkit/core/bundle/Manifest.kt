package org.mobilevlmkit.core.bundle

/** A file of the bundle: its [path] inside, size in [bytes], and [sha256] in hexadecimal. */
data class FileEntry(val path: String, val bytes: Long, val sha256: String)

/**
 * The vision encoder's input: a square of [size] × [size] pixels that takes [tokens] tokens of the prompt.
 *
 * @property padColor 0xRRGGBB, beside a picture that isn't square
 */
data class ImageSpec(val size: Int, val tokens: Int, val padColor: Int)

/** The conversation's texts; [afterImage] and [followUp] hold `{question}`. */
data class PromptSpec(
    val beforeImage: String,
    val afterImage: String,
    val followUp: String,
    val bosId: Int,
    val stopIds: List<Int>,
    val stopText: String,
)

/**
 * A bundle's `manifest.json`, read and checked: all that a phone must know of a model.
 *
 * @property id SHA-256 of the manifest's bytes: what tells one bundle from another
 * @property formatVersion of the manifest, from 1 to [ManifestReader.FORMAT_VERSION]
 * @property artifacts program files by backend, such as `executorch`
 * @property recipe how each part is quantized: `name`, `llm`, `vision`, `projector`, `embedding`
 * @property maxContext tokens of a conversation, the picture's included
 * @property maxPrefill tokens of one call of `text_decoder`
 * @property memoryBytes what a phone needs to run it
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

    /** Whether its ExecuTorch program is from before such programs were right on phones: the bundle must be exported again. */
    val isOutdated: Boolean get() = formatVersion < ManifestReader.EXECUTORCH_SINCE && "executorch" in artifacts
}
