package org.mobilevlmkit.core.json

/** A JSON type: its name in errors, and a test for it. */
enum class JsonKind(val label: String, val plural: String) {
    TEXT("a text", "texts"),
    NUMBER("a number", "numbers"),
    OBJECT("an object", "objects"),
    LIST("a list", "lists"),
    ;

    fun fits(value: Any?): Boolean = when (this) {
        TEXT -> value is String
        NUMBER -> value is Long
        OBJECT -> value is Map<*, *>
        LIST -> value is List<*>
    }
}

/** Access to the fields of a JSON object by dotted name; [fail] makes an error from "NAME: got …, expected …". */
class JsonFields(val values: Map<*, *>, private val fail: (String) -> Exception) {
    fun text(name: String): String = typed(name, JsonKind.TEXT) as String

    /** A whole number of 64 bits. */
    fun number(name: String): Long = typed(name, JsonKind.NUMBER) as Long

    /** A whole number in [range]. */
    fun integer(name: String, range: IntRange = Int.MIN_VALUE..Int.MAX_VALUE): Int {
        val got = number(name)
        if (got !in range.first.toLong()..range.last.toLong()) throw wrong(name, got, "${range.first} to ${range.last}")
        return got.toInt()
    }

    /** Any number, as Double. */
    fun decimal(name: String): Double = (find(name) as? Number)?.toDouble() ?: throw wrong(name, find(name), JsonKind.NUMBER.label)

    fun list(name: String): List<*> = typed(name, JsonKind.LIST) as List<*>

    fun anObject(name: String): Map<*, *> = typed(name, JsonKind.OBJECT) as Map<*, *>

    /** A list of whole numbers, not empty if [filled]. */
    fun integers(name: String, filled: Boolean = true): IntArray {
        val got = list(name)
        val good = got.all { it is Long && it in Int.MIN_VALUE..Int.MAX_VALUE } && !(filled && got.isEmpty())
        if (!good) throw wrong(name, got, "a list of numbers")
        return IntArray(got.size) { (got[it] as Long).toInt() }
    }

    /** A list of any numbers, as Double. */
    fun decimals(name: String): DoubleArray {
        val got = list(name)
        if (!got.all { it is Number }) throw wrong(name, got, "a list of numbers")
        return DoubleArray(got.size) { (got[it] as Number).toDouble() }
    }

    /** The value of [name], such as "outer.inner"; null if any part is missing. */
    fun find(name: String): Any? = name.split('.').fold(values as Any?) { value, key -> (value as? Map<*, *>)?.get(key) }

    fun wrong(name: String, got: Any?, expected: String): Exception = fail("$name: got ${shown(got, 60)}, expected $expected")

    private fun typed(name: String, kind: JsonKind): Any {
        val got = find(name)
        if (got == null || !kind.fits(got)) throw wrong(name, got, kind.label)
        return got
    }

    companion object {
        /** [value] in one line of at most [limit] characters. */
        fun shown(value: Any?, limit: Int): String {
            val spelled = when (value) {
                is Map<*, *>, is List<*> -> JsonWriter.write(value)
                is String -> "'$value'"
                else -> "$value"
            }
            return spelled.take(limit).map { if (it < ' ' || it == '\u007f') '\ufffd' else it }.joinToString("")
        }
    }
}
