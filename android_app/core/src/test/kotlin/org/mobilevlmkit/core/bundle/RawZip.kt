package org.mobilevlmkit.core.bundle

import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import java.util.zip.Deflater
import java.util.zip.DeflaterOutputStream

/**
 * An entry of a zip archive; each field can be false.
 *
 * @property name the name's bytes, UTF-8 or not
 * @property size the size of [content] in the header; null for the true size
 */
data class RawEntry(
    val name: ByteArray,
    val content: ByteArray,
    val isDeflated: Boolean = true,
    val hasDescriptor: Boolean = false,
    val isZip64: Boolean = false,
    val isEncrypted: Boolean = false,
    val method: Int? = null,
    val crc: Int? = null,
    val size: Long? = null,
    val compressedSize: Long? = null,
    val extra: ByteArray = ByteArray(0),
    val isLink: Boolean = false,
) {
    constructor(name: String, content: ByteArray) : this(name.toByteArray(), content)
}

/** Writes zips that no library would write. */
object RawZip {
    private const val LOCAL = 0x04034b50
    private const val DESCRIPTOR = 0x08074b50
    private const val CENTRAL = 0x02014b50
    private const val END = 0x06054b50
    private const val UTF_8 = 1 shl 11
    private const val ALL_ONES = 0xffffffffL
    private const val LINK = 0xA1FF.toLong() shl 16 // S_IFLNK, mode 0777

    fun of(entries: List<RawEntry>): ByteArray {
        val out = ByteArrayOutputStream()
        val central = ByteArrayOutputStream()
        for (entry in entries) {
            val at = out.size()
            val data = if (entry.isDeflated) deflated(entry.content) else entry.content
            val crc = entry.crc ?: CRC32().run {
                update(entry.content)
                value.toInt()
            }
            val size = entry.size ?: entry.content.size.toLong()
            val compressed = entry.compressedSize ?: data.size.toLong()
            val flags = UTF_8 or (if (entry.hasDescriptor) 8 else 0) or (if (entry.isEncrypted) 1 else 0)
            val method = entry.method ?: if (entry.isDeflated) Deflater.DEFLATED else 0
            val zip64 = if (entry.isZip64) little(20) { putShort(1).putShort(16).putLong(size).putLong(compressed) } else ByteArray(0)
            val extra = zip64 + entry.extra
            val shown = if (entry.isZip64) ALL_ONES to ALL_ONES else compressed to size
            val fields = little(26) {
                putShort(if (entry.isZip64) 45 else 20).putShort(flags.toShort()).putShort(method.toShort()).putInt(0x21 shl 16)
                if (entry.hasDescriptor) {
                    putInt(0).putInt(0).putInt(0)
                } else {
                    putInt(crc).putInt(shown.first.toInt()).putInt(shown.second.toInt())
                }
                putShort(entry.name.size.toShort()).putShort(extra.size.toShort())
            }
            out.write(little(4) { putInt(LOCAL) } + fields + entry.name + extra + data)
            if (entry.hasDescriptor) {
                out.write(
                    if (entry.isZip64) {
                        little(24) { putInt(DESCRIPTOR).putInt(crc).putLong(compressed).putLong(size) }
                    } else {
                        little(16) { putInt(DESCRIPTOR).putInt(crc).putInt(compressed.toInt()).putInt(size.toInt()) }
                    },
                )
            }
            central.write(little(4) { putInt(CENTRAL) } + byteArrayOf(20, 3) + fields)
            central.write(
                little(14) {
                    putInt(0).putShort(0).putInt((if (entry.isLink) LINK else 0L).toInt()).putInt(at)
                } + entry.name + extra,
            )
        }
        val begin = out.size()
        out.write(central.toByteArray())
        val count = entries.size.toShort()
        out.write(little(22) { putInt(END).putInt(0).putShort(count).putShort(count).putInt(central.size()).putInt(begin).putShort(0) })
        return out.toByteArray()
    }

    private fun deflated(content: ByteArray): ByteArray {
        val out = ByteArrayOutputStream()
        DeflaterOutputStream(out, Deflater(Deflater.DEFAULT_COMPRESSION, true)).use { it.write(content) }
        return out.toByteArray()
    }

    private fun little(size: Int, fill: ByteBuffer.() -> Unit): ByteArray =
        ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN).apply(fill).array()
}
