package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.OutdatedException
import java.io.File
import java.io.FilterInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.file.Files
import java.util.Random
import java.util.concurrent.CancellationException

class BundleStoreTest {
    @get:Rule
    val temporary = TestBundle.temporaryFolder()
    private val folder by lazy { File(temporary.root, "files/bundles") }
    private val store by lazy { BundleStore(folder) }
    private val demo = TestBundle()

    private fun import(zip: ByteArray, name: String = "demo.mvlm.zip", job: Job = Job()) = store.import(name, TestBundle.opening(zip), job)

    /** The import is refused with a one-line reason and leaves no files. */
    private fun refused(zip: ByteArray, says: String) {
        val error = assertThrows(BundleException::class.java) { import(zip) }
        assertTrue("${error.message}, expected $says", says in error.message!!)
        assertTrue(error.message, error.message!!.startsWith("demo.mvlm.zip: ") || folder.path in error.message!!)
        assertFalse(error.message, '\n' in error.message!!)
        requireNothingLeft()
    }

    private fun requireNothingLeft() {
        assertEquals(emptyList<String>(), folder.list().orEmpty().toList())
        val outside = temporary.root.walk().filter { it.isFile }.toList()
        assertEquals(emptyList<File>(), outside)
    }

    @Test
    fun importsWhatTheManifestLists() {
        val unlisted = demo.entries + ("notes.txt" to byteArrayOf(1)) + ("empty/" to ByteArray(0))
        val bundle = import(TestBundle.zip(unlisted))
        assertEquals("demo.mvlm", bundle.folder.name)
        assertEquals("demo", bundle.name)
        assertEquals("int4", bundle.recipe)
        assertEquals(demo.entries.sumOf { it.second.size.toLong() }, bundle.bytes)
        assertTrue(bundle.addedMillis > 0)
        for ((path, bytes) in demo.entries) assertArrayEquals(path, bytes, File(bundle.folder, path).readBytes())
        assertFalse(File(bundle.folder, "notes.txt").exists())
        assertEquals(bundle.manifest, BundleFiles.verify(bundle.folder))
        assertEquals(listOf(bundle), store.list())
    }

    @Test
    fun theManifestMayComeLast() {
        val last = demo.entries.sortedBy { it.first == "manifest.json" }
        assertNotNull(import(TestBundle.zip(last)).manifest)
    }

    @Test
    fun reportsProgress() {
        val steps = ArrayList<Pair<Long, Long>>()
        val total = demo.files.values.sumOf { it.size.toLong() }
        import(demo.zipped(), job = Job { done, all -> if (all > 0) steps.add(done to all) })
        assertEquals(steps.sortedBy { it.first }, steps)
        assertEquals(total to total, steps.last())
    }

    @Test
    fun refusesPathsThatEscape() {
        for (path in listOf("../evil", "golden/../../evil", "/evil", "a\\..\\evil", "C:evil", "..")) {
            refused(TestBundle.zip(listOf(path to byteArrayOf(1)) + demo.entries), "inside the bundle")
            refused(TestBundle.zip(demo.entries + (path to byteArrayOf(1))), "inside the bundle")
        }
    }

    @Test
    fun refusesASecondEntryOfTheSameName() {
        // ZipOutputStream refuses it too, so the name is patched in the bytes.
        for ((name, content) in demo.entries) {
            val twin = name.replaceFirst(name[0], '#')
            val bytes = TestBundle.zip(demo.entries + (twin to content))
            refused(replaced(bytes, twin, name), "twice")
        }
    }

    @Test
    fun aLinkInTheArchiveIsNeverMade() {
        val secret = File(temporary.root, "secret").apply { writeText("secret") }
        val link = demo.entries.map { (name, bytes) -> name to if (name == "model.pte") secret.path.toByteArray() else bytes }
        val zip = TestBundle.zip(link)
        val entry = indexOfCentral(zip, "model.pte")
        zip[entry + 5] = 3 // made on Unix
        zip[entry + 41] = (0xA1FF shr 8).toByte() // a symbolic link, mode 0777
        zip[entry + 40] = 0xFF.toByte()
        secret.delete()
        refused(zip, "bytes, expected 20000")
    }

    @Test
    fun refusesWhatIsDamaged() {
        refused(ByteArray(0), "damaged archive")
        refused("not a zip".toByteArray(), "damaged archive")
        refused(demo.zipped().let { it.copyOf(it.size / 2) }, "damaged archive")
        refused(TestBundle.zip(listOf("a" to ByteArray(3))), "manifest.json is missing")
        refused(TestBundle.zip(demo.entries.filter { it.first != "model.pte" }), "model.pte is missing")
        refused(changed("manifest.json") { "{}".toByteArray() }, "format_version")
        refused(changed("model.pte") { it.copyOf(it.size - 1) }, "got 19999 bytes, expected 20000")
        refused(changed("model.pte") { it.copyOf(it.size + 1) }, "expected at most 20000 bytes")
        refused(changed("model.pte") { bytes -> bytes.also { it[777] = (it[777] + 1).toByte() } }, "the file is damaged")
        refused(changed("manifest.json") { ByteArray(ManifestReader.MAX_BYTES + 1) }, "got a larger file")
    }

    @Test
    fun refusesWhatMustBeExportedAgainBeforeItIsUnpacked() {
        val old = TestBundle { it + ("format_version" to 1) }
        val error = assertThrows(OutdatedException::class.java) { import(old.zipped()) }
        assertEquals("demo", error.name)
        requireNothingLeft()
        old.writeTo(File(folder, "old.mvlm")) // pushed
        assertEquals(listOf(true), store.list().map { it.isOutdated })
    }

    @Test
    fun refusesABombBeforeItFillsTheDisk() {
        val bomb = TestBundle.zip(demo.entries.map { (name, bytes) -> name to if (name == "model.pte") ByteArray(40 shl 20) else bytes })
        assertTrue("${bomb.size}", bomb.size < 1 shl 20)
        refused(bomb, "expected at most 20000 bytes")
    }

    @Test
    fun refusesWhatDoesNotFitTheDisk() {
        val huge = TestBundle { values ->
            val files = (values["files"] as List<*>).map { it as Map<*, *> }
            values + ("files" to files.map { if (it["path"] == "model.pte") it + ("bytes" to (1L shl 40)) else it })
        }
        refused(huge.zipped(), "MB free")
    }

    @Test
    fun sixtyFourMegabytesStayFree() {
        val needed = demo.files.values.sumOf { it.size.toLong() } + (64L shl 20)
        for (free in listOf(needed - 1, needed)) {
            val disk = object : File(folder.path) {
                override fun getUsableSpace() = free
            }
            val import = { BundleStore(disk).import("demo.mvlm.zip", TestBundle.opening(demo.zipped())) }
            if (free >= needed) import() else assertTrue("MB free" in assertThrows(BundleException::class.java) { import() }.message!!)
        }
    }

    @Test
    fun refusesAFileThatIsAlsoAFolder() {
        val bundle = TestBundle { values ->
            val one = mapOf("path" to "model.pte/inner", "bytes" to 1, "sha256" to Sha256.of(byteArrayOf(7)))
            values + ("files" to (values["files"] as List<*>) + one)
        }
        refused(TestBundle.zip(bundle.entries + ("model.pte/inner" to byteArrayOf(7))), "model.pte")
    }

    @Test
    fun cancellingLeavesNothing() {
        val whole = demo.zipped()
        var steps = 0
        import(whole, job = Job { _, _ -> steps++ })
        store.remove(store.list().single())
        for (at in 1..steps) {
            var step = 0
            lateinit var job: Job
            job = Job { _, _ -> if (++step == at) job.cancel() }
            // Cancelled at the last step, it is already complete.
            if (at < steps) {
                assertThrows("$at", CancellationException::class.java) { import(whole, job = job) }
                requireNothingLeft()
            }
        }
    }

    @Test
    fun aSourceThatFailsLeavesNothing() {
        val whole = demo.zipped()
        for (at in listOf(0, 100, whole.size / 2, whole.size - 30)) {
            val failing = {
                object : FilterInputStream(whole.inputStream()) {
                    var left = at
                    override fun read(): Int = if (left-- > 0) super.read() else throw IOException("the card was taken out")

                    override fun read(b: ByteArray, off: Int, len: Int): Int {
                        if (left <= 0) throw IOException("the card was taken out")
                        return super.read(b, off, minOf(len, left)).also { left -= it }
                    }
                } as InputStream
            }
            val error = runCatching { store.import("demo.mvlm.zip", failing) }.exceptionOrNull()
            if (at < whole.size - 30) assertTrue("$error", "the card was taken out" in error!!.message!!)
            if (error != null) requireNothingLeft() else store.list().forEach { store.remove(it) }
        }
    }

    @Test
    fun beingKilledHalfWayIsRecovered() {
        // A killed import never runs its cleanup: the folder stays as it was.
        lateinit var middle: List<File>
        import(demo.zipped(), job = Job { done, total -> if (total > 0 && done > total / 2) middle = folder.listFiles()!!.toList() })
        assertTrue(middle.all { it.name.startsWith(".import-") })
        val left = File(folder, middle.single().name)
        TestBundle().writeTo(left)
        TestBundle(seed = 2).writeTo(File(folder, ".remove-1"))
        TestBundle(seed = 3).writeTo(File(folder, ".incoming-pushed.mvlm")) // mvlm push may be running
        assertEquals(1, store.list().size)
        BundleStore(folder).recover()
        assertEquals(listOf(".incoming-pushed.mvlm", "demo.mvlm"), folder.list()!!.sorted())
    }

    @Test
    fun theSameBundleIsReplacedAnotherIsNumbered() {
        val first = import(demo.zipped(), "my bundle.mvlm.zip")
        File(first.folder, "model.pte").writeText("damaged")
        assertThrows(BundleException::class.java) { BundleFiles.verify(first.folder) }
        val again = import(demo.zipped(), "other name.zip")
        assertEquals(first.folder, again.folder)
        BundleFiles.verify(again.folder)
        val other = import(TestBundle(seed = 2).zipped(), "my bundle.mvlm.zip")
        assertEquals("my bundle 2.mvlm", other.folder.name)
        assertEquals(setOf("my bundle", "my bundle 2"), store.list().map { it.name }.toSet())
    }

    @Test
    fun namesAreSafeOnAnyFileSystem() {
        val names = mapOf(
            "../../evil.zip" to "evil",
            "" to "bundle",
            "..." to "bundle",
            "a:b|c?.mvlm.zip" to "a_b_c_",
            ".hidden.zip" to "hidden",
            "x".repeat(300) to "x".repeat(80),
            "模型.mvlm.zip" to "模型",
            "a\u0000b\n" to "a_b_",
        )
        for ((given, expected) in names) {
            val bundle = import(demo.zipped(), given)
            assertEquals(expected, bundle.name)
            store.remove(bundle)
        }
    }

    @Test
    fun listsWhatIsPushedAndWhatIsBroken() {
        assertEquals(emptyList<StoredBundle>(), store.list())
        demo.writeTo(File(folder, "pushed.mvlm"))
        File(folder, "broken.mvlm").mkdirs()
        File(folder, "notes").mkdirs()
        val listed = store.list().associateBy { it.name }
        assertEquals(setOf("pushed", "broken"), listed.keys)
        assertNotNull(listed.getValue("pushed").manifest)
        assertTrue("no such file" in listed.getValue("broken").problem!!)
        store.remove(listed.getValue("broken"))
        assertEquals(listOf("pushed"), store.list().map { it.name })
    }

    @Test
    fun removingDoesNotFollowLinks() {
        val bundle = import(demo.zipped())
        val kept = File(temporary.root, "kept").apply { mkdirs() }
        File(kept, "photo").writeText("mine")
        Files.createSymbolicLink(File(bundle.folder, "link").toPath(), kept.toPath())
        store.remove(bundle)
        assertTrue(File(kept, "photo").exists())
        assertEquals(emptyList<String>(), folder.list()!!.toList())
    }

    @Test
    fun verifyingNamesTheFile() {
        val bundle = import(demo.zipped()).folder
        val program = File(bundle, "model.pte")
        val bytes = program.readBytes()
        program.writeBytes(bytes.copyOf().also { it[5] = (it[5] + 1).toByte() })
        assertTrue("model.pte" in assertThrows(BundleException::class.java) { BundleFiles.verify(bundle) }.message!!)
        program.delete()
        assertTrue("missing" in assertThrows(BundleException::class.java) { BundleFiles.verify(bundle) }.message!!)
        val outside = File(temporary.root, "model").apply { writeBytes(bytes) }
        Files.createSymbolicLink(program.toPath(), outside.toPath())
        assertThrows(BundleException::class.java) { BundleFiles.verify(bundle) }
    }

    /** For any bytes, the result is a complete bundle, or a one-line error without leftovers. */
    @Test
    fun survivesDamagedArchives() {
        val random = Random(4)
        val small = TestBundle(programBytes = 500)
        val whole = small.zipped()
        var refused = 0
        repeat(800) {
            val bytes = whole.copyOf(if (random.nextInt(5) == 0) random.nextInt(whole.size) else whole.size)
            repeat(1 + random.nextInt(4)) { if (bytes.isNotEmpty()) bytes[random.nextInt(bytes.size)] = random.nextInt().toByte() }
            try {
                val bundle = import(bytes)
                for ((path, content) in small.entries) assertArrayEquals(content, File(bundle.folder, path).readBytes())
                store.remove(bundle)
            } catch (error: BundleException) {
                assertFalse(error.message, '\n' in error.message!!)
                refused++
            }
            requireNothingLeft()
        }
        assertTrue("$refused", refused > 300)
    }

    private fun changed(name: String, change: (ByteArray) -> ByteArray): ByteArray =
        TestBundle.zip(demo.entries.map { (path, bytes) -> path to if (path == name) change(bytes.copyOf()) else bytes })

    private fun replaced(bytes: ByteArray, from: String, to: String): ByteArray =
        String(bytes, Charsets.ISO_8859_1).replace(from, to).toByteArray(Charsets.ISO_8859_1)

    /** Index in [zip] of the central directory's entry of [name]. */
    private fun indexOfCentral(zip: ByteArray, name: String): Int =
        String(zip, Charsets.ISO_8859_1).let { text -> Regex("PK\u0001\u0002[\\s\\S]{42}" + Regex.escape(name)).find(text)!!.range.first }

    /** The shell or another app made it, so this app may list its name and no more. */
    @Test
    fun aFolderThatMayNotBeReadIsToldFromAnEmptyOne() {
        val foreign = object : File(temporary.newFolder("theirs.mvlm").path) {
            override fun list(): Array<String>? = null
        }
        val folder = object : File(temporary.newFolder("own").path) {
            override fun listFiles() = arrayOf<File>(foreign, temporary.newFolder("empty.mvlm"))
        }
        assertEquals(mapOf("theirs" to true, "empty" to false), BundleStore(folder).list().associate { it.name to it.isUnreadable })
    }
}
