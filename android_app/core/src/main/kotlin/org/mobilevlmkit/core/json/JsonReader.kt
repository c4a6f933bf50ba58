package org.mobilevlmkit.core.json

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/** The text isn't JSON; the message says what was found at which character. */
class JsonException(message: String) : Exception(message)

/**
 * Reads strict JSON (RFC 8259): no comments, no trailing commas, no duplicate keys in an object.
 *
 * Values come as Map<String, Any?>, List<Any?>, String, Long (whole numbers that fit), Double, Boolean and null.
 */
class JsonReader private constructor(private val text: String) {
    private var at = 0

    private fun document(): Any? {
        val value = value(depth = 0)
        skipSpace()
        if (at < text.length) throw unexpected("the end")
        return value
    }

    private fun value(depth: Int): Any? {
        if (depth > MAX_DEPTH) throw JsonException("got more than $MAX_DEPTH levels, expected fewer, at character $at")
        skipSpace()
        return when (val first = peek()) {
            '{' -> anObject(depth)
            '[' -> aList(depth)
            '"' -> aText()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> if (first == '-' || first in '0'..'9') aNumber() else throw unexpected("a value")
        }
    }

    private fun anObject(depth: Int): Map<String, Any?> {
        val values = LinkedHashMap<String, Any?>()
        at++
        skipSpace()
        if (take('}')) return values
        do {
            skipSpace()
            if (peek() != '"') throw unexpected("a key")
            val key = aText()
            skipSpace()
            if (!take(':')) throw unexpected("':'")
            if (key in values) throw JsonException("got the key '${key.take(40)}' twice, expected it once, at character $at")
            values[key] = value(depth + 1)
            skipSpace()
        } while (take(','))
        if (!take('}')) throw unexpected("',' or '}'")
        return values
    }

    private fun aList(depth: Int): List<Any?> {
        val items = ArrayList<Any?>()
        at++
        skipSpace()
        if (take(']')) return items
        do {
            items.add(value(depth + 1))
            skipSpace()
        } while (take(','))
        if (!take(']')) throw unexpected("',' or ']'")
        return items
    }

    private fun aText(): String {
        at++
        val plainFrom = at
        while (at < text.length && text[at] != '"' && text[at] != '\\' && text[at] >= ' ') at++
        if (peek() == '"') return text.substring(plainFrom, at++)
        val built = StringBuilder().append(text, plainFrom, at)
        while (true) {
            val character = peek() ?: throw unexpected("'\"'")
            if (character < ' ') throw unexpected("no control character in a text")
            at++
            when (character) {
                '"' -> return built.toString()
                '\\' -> built.append(escaped())
                else -> built.append(character)
            }
        }
    }

    private fun escaped(): Char {
        val character = peek() ?: throw unexpected("an escape")
        at++
        return when (character) {
            '"', '\\', '/' -> character
            'b' -> '\b'
            'f' -> '\u000c'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                var code = 0
                repeat(4) {
                    val digit = peek()?.let { c -> if (c < '\u0080') Character.digit(c, 16) else -1 } ?: -1
                    if (digit < 0) throw unexpected("four hexadecimal digits")
                    code = code * 16 + digit
                    at++
                }
                code.toChar()
            }
            else -> {
                at--
                throw unexpected("an escape")
            }
        }
    }

    private fun aNumber(): Any {
        val from = at
        take('-')
        if (!take('0')) digits()
        val whole = at
        if (take('.')) digits()
        if (take('e') || take('E')) {
            if (!take('+')) take('-')
            digits()
        }
        val spelled = text.substring(from, at)
        return (if (at == whole) spelled.toLongOrNull() else null) ?: spelled.toDouble()
    }

    private fun digits() {
        val from = at
        while (at < text.length && text[at] in '0'..'9') at++
        if (at == from) throw unexpected("a digit")
    }

    private fun <T> word(spelled: String, value: T): T {
        if (!text.startsWith(spelled, at)) throw unexpected("a value")
        at += spelled.length
        return value
    }

    private fun skipSpace() {
        while (at < text.length && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) at++
    }

    private fun peek(): Char? = if (at < text.length) text[at] else null

    private fun take(character: Char): Boolean {
        if (at >= text.length || text[at] != character) return false
        at++
        return true
    }

    private fun unexpected(expected: String): JsonException {
        val got = peek()?.let { if (it in ' '..'~') "'$it'" else "character code ${it.code}" } ?: "the end"
        return JsonException("got $got, expected $expected, at character $at")
    }

    companion object {
        private const val MAX_DEPTH = 200

        /**
         * Parses [bytes], JSON in UTF-8.
         *
         * @throws JsonException they aren't UTF-8, or aren't JSON.
         */
        fun read(bytes: ByteArray): Any? {
            val decoder = Charsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT)
            val text = try {
                decoder.decode(ByteBuffer.wrap(bytes)).toString()
            } catch (_: CharacterCodingException) {
                throw JsonException("got bytes that are not UTF-8, expected text")
            }
            return JsonReader(text).document()
        }
    }
}
