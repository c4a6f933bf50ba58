package org.mobilevlmkit.core.bundle

import java.security.MessageDigest

/** SHA-256 in lower-case hexadecimal. */
object Sha256 {
    private const val DIGITS = "0123456789abcdef"

    fun digest(): MessageDigest = MessageDigest.getInstance("SHA-256")

    fun of(bytes: ByteArray): String = hex(digest().digest(bytes))

    fun hex(bytes: ByteArray): String {
        val text = StringBuilder(bytes.size * 2)
        for (byte in bytes) text.append(DIGITS[byte.toInt() shr 4 and 15]).append(DIGITS[byte.toInt() and 15])
        return text.toString()
    }
}
