package org.mobilevlmkit.core.prompt

/**
 * Turns the pieces of single tokens into displayable text: complete characters only.
 *
 * A piece such as `<0xE4>` is one byte of a character missing from the vocabulary; it is held until the character is complete. Invalid
 * bytes are shown as U+FFFD. The space before the first word belongs to the prompt and is dropped, as are special tokens.
 *
 * @param specials pieces that are never shown, such as `<s>`
 */
class TextStream(private val specials: Collection<String>) {
    private val bytes = Utf8Assembler()
    private var started = false

    /** The text that [piece] completes, perhaps none. */
    fun add(piece: String): String {
        if (piece in specials) return ""
        val spelled = spelledByte(piece)
        return shown(if (spelled >= 0) bytes.add(spelled) else bytes.finish() + piece.replace(SPACE, ' '))
    }

    /** The rest of an incomplete character, as U+FFFD. */
    fun finish(): String = shown(bytes.finish())

    private fun shown(text: String): String {
        if (text.isEmpty() || started) return text
        started = true
        return text.removePrefix(" ")
    }

    /** The byte that a piece `<0xHH>` spells, or -1. */
    private fun spelledByte(piece: String): Int {
        if (piece.length != 6 || !piece.startsWith("<0x") || piece[5] != '>') return -1
        val (high, low) = DIGITS.indexOf(piece[3]) to DIGITS.indexOf(piece[4])
        return if (high < 0 || low < 0) -1 else high * 16 + low
    }

    companion object {
        /** SentencePiece's space, U+2581. */
        const val SPACE = '\u2581'
        private const val DIGITS = "0123456789ABCDEF"
    }
}

/** Decodes UTF-8 byte by byte; each maximal invalid prefix of a character becomes one U+FFFD (WHATWG Encoding). */
internal class Utf8Assembler {
    private var needed = 0
    private var code = 0
    private var lowest = 0x80
    private var highest = 0xBF

    fun add(byte: Int): String {
        if (needed == 0) return begin(byte)
        if (byte !in lowest..highest) return finish() + begin(byte)
        lowest = 0x80
        highest = 0xBF
        code = code shl 6 or (byte and 0x3F)
        needed--
        return if (needed == 0) String(Character.toChars(code)) else ""
    }

    fun finish(): String {
        val cut = needed > 0
        needed = 0
        lowest = 0x80
        highest = 0xBF
        return if (cut) REPLACEMENT else ""
    }

    private fun begin(byte: Int): String {
        when (byte) {
            in 0x00..0x7F -> return byte.toChar().toString()
            in 0xC2..0xDF -> expect(1, byte and 0x1F)
            in 0xE0..0xEF -> {
                if (byte == 0xE0) lowest = 0xA0 // overlong encodings
                if (byte == 0xED) highest = 0x9F // surrogates
                expect(2, byte and 0x0F)
            }
            in 0xF0..0xF4 -> {
                if (byte == 0xF0) lowest = 0x90
                if (byte == 0xF4) highest = 0x8F // beyond U+10FFFF
                expect(3, byte and 0x07)
            }
            else -> return REPLACEMENT
        }
        return ""
    }

    private fun expect(bytes: Int, bits: Int) {
        needed = bytes
        code = bits
    }

    private companion object {
        const val REPLACEMENT = "\uFFFD"
    }
}
