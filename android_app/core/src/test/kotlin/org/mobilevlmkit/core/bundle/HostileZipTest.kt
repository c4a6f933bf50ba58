package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import java.io.File
import java.util.Random

/** Zips with false headers: the result is a complete bundle, or a one-line error without leftovers. */
class HostileZipTest {
    @get:Rule
    val temporary = TestBundle.temporaryFolder()
    private val folder by lazy { File(temporary.root, "files/bundles") }
    private val store by lazy { BundleStore(folder) }
    private val bundle = TestBundle(programBytes = 300)
    private val entries = bundle.entries.map { (name, content) -> RawEntry(name, content) }

    /** The error of importing [zip]; null if the bundle is complete. */
    private fun refusal(zip: ByteArray): String? = try {
        val imported = store.import("demo.mvlm.zip", TestBundle.opening(zip))
        val files = imported.folder.walk().filter { it.isFile }.map { it.toRelativeString(imported.folder) }
        assertEquals(bundle.entries.map { it.first }.toSet(), files.toSet())
        for ((path, content) in bundle.entries) assertArrayEquals(content, File(imported.folder, path).readBytes())
        store.remove(imported)
        null
    } catch (error: BundleException) {
        assertFalse(error.message, error.message!!.any { it < ' ' })
        error.message
    } finally {
        assertEquals(emptyList<File>(), temporary.root.walk().filter { it.isFile }.toList())
        assertEquals(emptyList<String>(), folder.list().orEmpty().toList())
    }

    private fun refused(zip: ByteArray, says: String) = refusal(zip).let { assertTrue("got $it, expected $says", it != null && says in it) }

    private fun each(change: (RawEntry) -> RawEntry): List<ByteArray> = entries.indices.map { index ->
        RawZip.of(entries.mapIndexed { at, entry -> if (at == index) change(entry) else entry })
    }

    @Test
    fun theBundleIsImportedFromEveryValidForm() {
        assertEquals(null, refusal(RawZip.of(entries)))
        assertEquals(null, refusal(RawZip.of(entries.map { it.copy(isDeflated = false) })))
        assertEquals(null, refusal(RawZip.of(entries.map { it.copy(hasDescriptor = true) })))
        assertEquals(null, refusal(RawZip.of(entries.map { it.copy(isZip64 = true) })))
        assertEquals(null, refusal(RawZip.of(entries.map { it.copy(extra = byteArrayOf(0x55, 0x54, 1, 0, 7)) })))
        val folders = listOf("golden/", "empty/", "empty/deep/").map { RawEntry(it, ByteArray(0)).copy(isDeflated = false) }
        assertEquals(null, refusal(RawZip.of(folders + entries)))
    }

    @Test
    fun namesThatLeadElsewhereAreRefused() {
        val names = listOf(
            "../evil", "golden/../../evil", "a/..", "..", "/evil", "//evil", "a\\..\\evil", "\\evil", "C:evil", "C:/evil",
            "evil\u0000.txt", "\u0000", "", ".", "./", "/",
        )
        for (name in names) {
            for (zip in listOf(listOf(RawEntry(name, byteArrayOf(1))) + entries, entries + RawEntry(name, byteArrayOf(1)))) {
                refused(RawZip.of(zip), "inside the bundle")
            }
        }
        refused(RawZip.of(entries + RawEntry(byteArrayOf('a'.code.toByte(), -1, -2), byteArrayOf(1))), "damaged archive") // not UTF-8
    }

    @Test
    fun whatIsNotListedIsNotUnpacked() {
        val unlisted = listOf(
            "golden/./a.ppm",
            "golden//a.ppm",
            "./model.pte",
            "MODEL.PTE",
            "Golden/a.ppm",
            "model.pte/inner",
            "manifest.json/x",
            "x".repeat(3_000),
        )
        for (name in unlisted) {
            assertEquals(name, null, refusal(RawZip.of(listOf(RawEntry(name, byteArrayOf(1))) + entries)))
            assertEquals(name, null, refusal(RawZip.of(entries + RawEntry(name, byteArrayOf(1)))))
        }
    }

    @Test
    fun aManifestCannotListOneFileByTwoNames() {
        val twins = mapOf(
            "golden/./a.ppm" to "inside the bundle",
            "golden//a.ppm" to "inside the bundle",
            "./golden/a.ppm" to "inside the bundle",
            "golden/a.ppm/" to "inside the bundle",
            "golden/A.ppm" to "twice",
            "GOLDEN/a.ppm" to "twice",
        )
        for ((twin, says) in twins) {
            val content = byteArrayOf(1, 2)
            val listed = mapOf("path" to twin, "bytes" to 2, "sha256" to Sha256.of(content))
            val twice = TestBundle(programBytes = 300) { it + ("files" to (it["files"] as List<*>) + listed) }
            refused(RawZip.of((twice.entries + (twin to content)).map { RawEntry(it.first, it.second) }), says)
        }
    }

    @Test
    fun falseHeadersAreRefused() {
        for (zip in each { it.copy(crc = 7) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(crc = 7, hasDescriptor = true) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(isEncrypted = true) }) refused(zip, "damaged archive")
        for (method in listOf(1, 12, 14, 99)) for (zip in each { it.copy(method = method) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(size = 1) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(isDeflated = false, size = 1, compressedSize = 1) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(isDeflated = false, hasDescriptor = true) }) refused(zip, "damaged archive")
        for (zip in each { it.copy(isDeflated = false, size = 1L shl 31, compressedSize = 1L shl 31) }) {
            refusal(zip).let { assertTrue(it, it != null) }
        }
        for (zip in each { it.copy(isZip64 = true, size = Long.MAX_VALUE) }) refusal(zip).let { assertTrue(it, it != null) }
        for (zip in each { it.copy(isZip64 = true, hasDescriptor = true) }) refusal(zip) // complete or not, depending on the JDK
        refused(RawZip.of(entries + RawEntry("note", byteArrayOf(1)).copy(crc = 7)), "damaged archive")
        refused(ByteArray(9) + RawZip.of(entries), "damaged archive")
    }

    @Test
    fun aLinkIsAFileWithTheWrongHash() {
        for (target in listOf("/etc/passwd", "../../secret", ".")) {
            for (name in bundle.files.keys) {
                val zip = entries.map { if (String(it.name) == name) RawEntry(name, target.toByteArray()).copy(isLink = true) else it }
                refusal(RawZip.of(zip)).let { assertTrue(it, it != null && name in it) }
            }
        }
    }

    @Test
    fun anArchiveOfCountlessEntriesIsRefused() {
        refused(RawZip.of(List(10_001) { RawEntry("$it", ByteArray(0)).copy(isDeflated = false) }), "more than 10000 entries")
    }

    /** 70 MB of zeros are 70 KB in a zip, and no file of the bundle. */
    @Test
    fun anArchiveWithTooManyUnlistedBytesIsRefused() {
        val bomb = RawEntry("bomb", ByteArray(70 shl 20))
        refused(RawZip.of(entries + bomb), "that the manifest doesn't list")
        val halves = List(2) { RawEntry("half $it", ByteArray(35 shl 20)) }
        refused(RawZip.of(entries + halves), "that the manifest doesn't list")
    }

    /** Cut at each byte of the zip's structures, and at some bytes of the contents. */
    @Test
    fun anArchiveThatIsCutShortIsRefused() {
        val whole = RawZip.of(entries)
        val ends = entries.indices.map { RawZip.of(entries.take(it)).size - contents(entries.take(it)) }
        val lengths = ends.flatMap { it - 20..it + 60 } + (whole.indices step 199) + (whole.size - contents(entries) - 20 until whole.size)
        for (length in lengths.filter { it in whole.indices }.toSet()) {
            val said = refusal(whole.copyOf(length))
            // The central directory isn't needed.
            assertEquals("$length of ${whole.size}: $said", length >= whole.size - contents(entries), said == null)
        }
    }

    /** Size in bytes of the central directory of a zip of [entries]. */
    private fun contents(entries: List<RawEntry>) = 22 + entries.sumOf { 46 + it.name.size }

    /** Random false headers, several at once; each kind of refusal must occur. */
    @Test
    fun survivesRandomFalseHeaders() {
        val random = Random(8)
        val says = listOf(
            "damaged archive",
            "inside the bundle",
            "twice",
            "is missing from the archive",
            "got a larger file",
            "bytes, expected",
            "SHA-256",
        )
        val said = HashMap<String, Int>()
        repeat(800) {
            val lies = ArrayList(entries)
            repeat(1 + random.nextInt(2)) {
                val at = random.nextInt(lies.size)
                val entry = lies[at]
                when (random.nextInt(14)) {
                    0 -> lies.removeAt(at)
                    1 -> lies.add(random.nextInt(lies.size), entry)
                    2 -> lies[at] = entry.copy(name = listOf("../x", "/x", "a\\b", "x:y", "z\u0000").random(random).toByteArray())
                    3 -> lies[at] = entry.copy(name = entry.name + '/'.code.toByte())
                    4 -> lies[at] = entry.copy(content = entry.content.copyOf(random.nextInt(2 * entry.content.size)))
                    5 -> if (String(entry.name) != "manifest.json") {
                        lies[at] = entry.copy(content = entry.content.copyOf().also { it[random.nextInt(it.size)]++ })
                    }
                    6 -> lies[at] = entry.copy(crc = random.nextInt())
                    7 -> lies[at] = entry.copy(size = random.nextInt(99_999).toLong())
                    8 -> lies[at] = entry.copy(isEncrypted = true)
                    9 -> lies[at] = entry.copy(hasDescriptor = true, isDeflated = random.nextBoolean())
                    10 -> lies[at] = entry.copy(isZip64 = true, hasDescriptor = random.nextBoolean())
                    11 -> lies[at] = entry.copy(method = random.nextInt(100))
                    12 -> lies[at] = entry.copy(compressedSize = random.nextInt(99_999).toLong(), isDeflated = false)
                    else -> lies.shuffle(random)
                }
                if (lies.isEmpty()) lies.add(entry)
            }
            val why = refusal(RawZip.of(lies))
            said.merge(if (why == null) "whole" else says.firstOrNull { it in why } ?: why, 1, Int::plus)
        }
        for (way in says + "whole") assertTrue("$said", (said[way] ?: 0) > 5)
    }

    private fun List<String>.random(random: Random) = this[random.nextInt(size)]
}
