package org.mobilevlmkit.core.prompt

/** Ids as in the engine's own tokenizer: special tokens are split off first, and each text in between is encoded separately. */
object EngineTokens {
    fun encode(tokenizer: Tokenizer, text: String): IntArray {
        val ids = ArrayList<Int>()
        var rest = text
        while (rest.isNotEmpty()) {
            val found = tokenizer.specials.map { rest.indexOf(it) to it }.filter { it.first >= 0 }
            val (at, special) = found.minByOrNull { it.first } ?: (rest.length to "")
            ids.addAll(tokenizer.encode(rest.substring(0, at)).asList())
            if (special.isNotEmpty()) ids.add(tokenizer.id(special))
            rest = rest.substring(at + special.length)
        }
        return ids.toIntArray()
    }
}
