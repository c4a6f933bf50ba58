package org.mobilevlmkit.core.json

/** Writes JSON in one line from maps, lists, texts, finite numbers, booleans and null. */
object JsonWriter {
    fun write(value: Any?): String = StringBuilder().also { write(value, it) }.toString()

    private fun write(value: Any?, out: StringBuilder) {
        when (value) {
            null, is Boolean, is Int, is Long -> out.append(value)
            is Float -> number(value.toDouble(), value.toString(), out)
            is Double -> number(value, value.toString(), out)
            is String -> text(value, out)
            is Map<*, *> -> {
                out.append('{')
                value.entries.forEachIndexed { index, (key, item) ->
                    if (index > 0) out.append(", ")
                    text(key as String, out)
                    out.append(": ")
                    write(item, out)
                }
                out.append('}')
            }
            is Iterable<*> -> {
                out.append('[')
                value.forEachIndexed { index, item ->
                    if (index > 0) out.append(", ")
                    write(item, out)
                }
                out.append(']')
            }
            is IntArray -> write(value.asList(), out)
            is DoubleArray -> write(value.asList(), out)
            else -> throw IllegalArgumentException("got a ${value.javaClass.name}, expected a JSON value")
        }
    }

    private fun number(value: Double, spelled: String, out: StringBuilder) {
        require(!value.isNaN() && !value.isInfinite()) { "got $value, expected a finite number" }
        out.append(spelled)
    }

    private fun text(value: String, out: StringBuilder) {
        out.append('"')
        for ((index, character) in value.withIndex()) {
            when {
                character == '"' || character == '\\' -> out.append('\\').append(character)
                character == '\n' -> out.append("\\n")
                // A lone surrogate can't be encoded as UTF-8.
                character < ' ' || isLoneSurrogate(value, index) -> out.append("\\u%04x".format(character.code))
                else -> out.append(character)
            }
        }
        out.append('"')
    }

    private fun isLoneSurrogate(text: String, index: Int): Boolean = when {
        text[index].isHighSurrogate() -> index + 1 >= text.length || !text[index + 1].isLowSurrogate()
        text[index].isLowSurrogate() -> index == 0 || !text[index - 1].isHighSurrogate()
        else -> false
    }
}
