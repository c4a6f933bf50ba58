package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import java.io.File
import java.io.IOException

/** Kills the app before each change on disk in turn, and again during the recovery at the next start. */
class BundleStoreKillTest {
    @get:Rule
    val temporary = TestBundle.temporaryFolder()
    private val demo = TestBundle(programBytes = 500)
    private val other = TestBundle(seed = 2, programBytes = 500)

    private class Killed : Error()

    /** After [changes] changes on disk nothing happens any more, not even cleanup. */
    private class App(private val folder: File, private var changes: Int) {
        val onChange = { if (changes-- <= 0) throw Killed() }
        private val store = BundleStore(folder, onChange)

        /** Whether [work] completed. */
        fun runs(work: BundleStore.() -> Unit): Boolean = try {
            store.work()
            true
        } catch (_: Killed) {
            false
        }

        fun BundleStore.import(bundle: TestBundle, onProgress: () -> Unit = {}) {
            import("demo.mvlm.zip", TestBundle.opening(bundle.zipped()), Job { _, _ -> onProgress() })
        }
    }

    /**
     * Kills [work] on [before] at each point, then the recovery of each resulting tree at each point. Passes the last start's listing
     * to [see], after checking that it is complete and nothing else is left. Returns the number of points.
     */
    private fun eachKill(before: Map<String, TestBundle>, work: App.(BundleStore) -> Unit, see: (Map<String, Manifest>) -> Unit): Int {
        val trees = HashSet<String>()
        for (first in 0..Int.MAX_VALUE) {
            val killed = temporary.newFolder()
            before.forEach { (name, bundle) -> bundle.writeTo(File(killed, name)) }
            val app = App(killed, first)
            val isDone = app.runs { app.work(this) }
            val tree = killed.walk().map { it.toRelativeString(killed) }.sorted().joinToString().replace(Regex("[0-9]{5,}"), "")
            var second = if (trees.add(tree)) 0 else 1_000
            do {
                val folder = temporary.newFolder()
                killed.copyRecursively(folder)
                val isRecovered = App(folder, second++).runs { recover() }
                BundleStore(folder).recover()
                val listed = BundleStore(folder).list().associate { it.folder.name to BundleFiles.verify(it.folder) }
                assertEquals("$first, $second", listed.keys.sorted(), folder.list()!!.sorted())
                see(listed)
                folder.deleteRecursively()
            } while (!isRecovered)
            killed.deleteRecursively()
            if (isDone) return first
        }
        error("it never ends")
    }

    private val demoId = Sha256.of(demo.manifest)
    private val otherId = Sha256.of(other.manifest)

    @Test
    fun importingABundleAgainNeverLosesIt() {
        val before = mapOf("my own name.mvlm" to demo, "other.mvlm" to other)
        val points = eachKill(before, { it.import(demo) }) { left ->
            assertEquals(mapOf("my own name.mvlm" to demoId, "other.mvlm" to otherId), left.mapValues { it.value.id })
        }
        assertTrue("$points", points > 7)
    }

    @Test
    fun aDamagedBundleExistsUntilItsCompleteSuccessorDoes() {
        for (first in 0..Int.MAX_VALUE) {
            val folder = temporary.newFolder()
            demo.writeTo(File(folder, "demo.mvlm"))
            File(folder, "demo.mvlm/model.pte").writeText("damaged")
            val app = App(folder, first)
            val isDone = app.runs { app.run { import(demo) } }
            BundleStore(folder).recover()
            val bundle = BundleStore(folder).list().single().folder
            val program = File(bundle, "model.pte").readBytes()
            assertTrue(
                "$first",
                program.contentEquals("damaged".toByteArray()) && !isDone || program.contentEquals(demo.files["model.pte"]),
            )
            assertEquals(listOf("demo.mvlm"), folder.list()!!.toList())
            if (isDone) return
        }
    }

    @Test
    fun aNewBundleExistsCompletelyOrNotAtAll() {
        val seen = HashSet<Map<String, String>>()
        eachKill(mapOf("demo.mvlm" to other), { it.import(demo, onChange) }) { left -> seen.add(left.mapValues { it.value.id }) }
        assertEquals(setOf(mapOf("demo.mvlm" to otherId), mapOf("demo.mvlm" to otherId, "demo 2.mvlm" to demoId)), seen)
    }

    @Test
    fun aDeletedBundleExistsCompletelyOrNotAtAll() {
        val seen = HashSet<Set<String>>()
        val removeDemo: App.(BundleStore) -> Unit = { store -> store.remove(store.list().single { it.name == "demo" }) }
        val points = eachKill(mapOf("demo.mvlm" to demo, "other.mvlm" to other), removeDemo) {
            seen.add(it.keys)
        }
        assertEquals(setOf(setOf("demo.mvlm", "other.mvlm"), setOf("other.mvlm")), seen)
        assertTrue("$points", points > 5)
    }

    @Test
    fun aFailedReplacementKeepsTheOldBundle() {
        val folder = temporary.newFolder()
        val place = File(folder, "demo.mvlm").also { demo.writeTo(it) }
        val obstacle = File(place, "obstacle")
        var obstacles = 0
        val store = BundleStore(folder) {
            if (obstacle.exists()) place.deleteRecursively()
            if (!place.exists() && obstacles++ == 0) obstacle.mkdirs()
        }
        val error = assertThrows(BundleException::class.java) { store.import("demo.mvlm.zip", TestBundle.opening(demo.zipped())) }
        assertTrue(error.message, "demo.mvlm: can't be written" in error.message!!)
        BundleFiles.verify(place)
        assertEquals(listOf("demo.mvlm"), folder.list()!!.toList())
    }

    @Test
    fun anOldOneThatCannotBeRemovedIsLeftToTheNextStart() {
        val folder = temporary.newFolder()
        val place = File(folder, "demo.mvlm").also { demo.writeTo(it) }
        val store = BundleStore(folder) {
            if (folder.list()!!.any { it.startsWith(".remove-") }) throw IOException("the card can only be read")
        }
        assertEquals(place, store.import("demo.mvlm.zip", TestBundle.opening(demo.zipped())).folder)
        assertEquals(listOf("demo.mvlm"), BundleStore(folder).list().map { it.folder.name })
        BundleStore(folder).recover()
        assertEquals(listOf("demo.mvlm"), folder.list()!!.toList())
        BundleFiles.verify(place)
    }
}
