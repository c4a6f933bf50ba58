package org.mobilevlmkit.core.prompt

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonFields
import org.mobilevlmkit.core.json.JsonReader
import java.io.File
import java.io.IOException
import java.util.PriorityQueue

/**
 * The bundle's `tokenizer.json`: BPE with byte fallback over text whose spaces are U+2581.
 *
 * The engine has its own tokenizer; this one predicts how many tokens a text takes, and which.
 *
 * @property addsSpace whether it adds a space before each text; if not, the manifest's prompt contains the spaces it needs
 * @property specials texts that an engine treats as single tokens anywhere in a text, such as `</s>`
 */
class Tokenizer private constructor(
    private val vocabulary: Map<String, Int>,
    private val merges: Map<Long, Merge>,
    private val bytes: IntArray,
    val addsSpace: Boolean,
    val specials: List<String>,
) {
    /** Merges two neighbors into the token [id]; the lowest [rank] goes first. */
    private class Merge(val rank: Int, val id: Int)

    /** The id of a whole [piece], or -1. */
    fun id(piece: String): Int = vocabulary[piece] ?: -1

    /** Ids of [text] as one segment, without BOS and without special tokens. */
    fun encode(text: String): IntArray {
        if (text.isEmpty()) return IntArray(0)
        val spelled = (if (addsSpace) "${TextStream.SPACE}$text" else text).replace(' ', TextStream.SPACE)
        return merged(symbols(spelled))
    }

    private fun symbols(text: String): IntArray {
        val ids = IntArray(4 * text.length)
        var count = 0
        var at = 0
        while (at < text.length) {
            val end = at + Character.charCount(text.codePointAt(at))
            val character = text.substring(at, end)
            val id = vocabulary[character]
            if (id != null) {
                ids[count++] = id
            } else {
                for (byte in character.toByteArray()) ids[count++] = bytes[byte.toInt() and 255]
            }
            at = end
        }
        return ids.copyOf(count)
    }

    /** Merges neighbors in [ids], best rank first and from the left, until no pair can be merged. */
    private fun merged(ids: IntArray): IntArray {
        val next = IntArray(ids.size) { it + 1 }
        val previous = IntArray(ids.size) { it - 1 }
        val gone = BooleanArray(ids.size)
        val candidates = PriorityQueue<Candidate>()
        fun offer(left: Int) {
            val right = if (left >= 0) next[left] else ids.size
            if (right >= ids.size) return
            merges[pair(ids[left], ids[right])]?.let { candidates.add(Candidate(it.rank, left, ids[left], ids[right], it.id)) }
        }
        for (left in 0 until ids.size - 1) offer(left)
        while (true) {
            val best = candidates.poll() ?: break
            val left = best.left
            if (gone[left] || ids[left] != best.leftId) continue
            val right = next[left]
            if (right >= ids.size || ids[right] != best.rightId) continue
            ids[left] = best.id
            gone[right] = true
            next[left] = next[right]
            if (next[right] < ids.size) previous[next[right]] = left
            offer(previous[left])
            offer(left)
        }
        return ids.filterIndexed { index, _ -> !gone[index] }.toIntArray()
    }

    private class Candidate(val rank: Int, val left: Int, val leftId: Int, val rightId: Int, val id: Int) : Comparable<Candidate> {
        override fun compareTo(other: Candidate): Int = if (rank != other.rank) rank.compareTo(other.rank) else left.compareTo(other.left)
    }

    companion object {
        /**
         * Reads `tokenizer.json` in [file].
         *
         * @throws BundleException it isn't in the form that the kit writes.
         */
        fun read(file: File): Tokenizer {
            val fail = { message: String -> BundleException("$file: $message") }
            val values = try {
                JsonReader.read(file.readBytes())
            } catch (error: JsonException) {
                throw fail("${error.message}; expected a JSON object")
            } catch (error: IOException) {
                throw fail("${error.message}, expected the bundle's tokenizer")
            }
            val fields = JsonFields(values as? Map<*, *> ?: emptyMap<String, Any?>(), fail)
            val kind = fields.find("model.type")
            val isReadable = kind == "BPE" && fields.find("model.byte_fallback") == true
            if (!isReadable) throw fields.wrong("model.type", kind, "'BPE' with byte fallback")
            val vocabulary = HashMap<String, Int>()
            for ((piece, id) in fields.anObject("model.vocab")) {
                vocabulary[piece as String] = (id as? Long)?.toInt() ?: throw fields.wrong("model.vocab", id, "ids")
            }
            val bytes = IntArray(256) { vocabulary["<0x%02X>".format(it)] ?: throw fail("model.vocab: got no byte $it, expected all 256") }
            return Tokenizer(vocabulary, merges(fields, vocabulary), bytes, addsSpace(fields), specials(fields))
        }

        private fun merges(fields: JsonFields, vocabulary: Map<String, Int>): Map<Long, Merge> {
            val merges = HashMap<Long, Merge>()
            fields.list("model.merges").forEachIndexed { rank, merge ->
                val (left, right) = (merge as? List<*>)?.takeIf { it.size == 2 } ?: throw fields.wrong("model.merges", merge, "two pieces")
                val ids = listOf("$left", "$right", "$left$right").map {
                    vocabulary[it] ?: throw fields.wrong("model.merges", it, "a piece of the vocabulary")
                }
                val key = pair(ids[0], ids[1])
                if (key !in merges) merges[key] = Merge(rank, ids[2])
            }
            return merges
        }

        private fun addsSpace(fields: JsonFields): Boolean {
            val steps = fields.list("normalizer.normalizers").map { (it as? Map<*, *>)?.get("type") }
            return when (steps) {
                listOf("Prepend", "Replace") -> true
                listOf("Replace") -> false
                else -> throw fields.wrong("normalizer.normalizers", steps, "Prepend and Replace")
            }
        }

        private fun specials(fields: JsonFields): List<String> =
            fields.list("added_tokens").mapNotNull { (it as? Map<*, *>)?.get("content") as? String }.filter { it.length > 1 }

        private fun pair(left: Int, right: Int): Long = left.toLong() shl 32 or right.toLong()
    }
}
