package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import java.io.File
import java.io.IOException
import java.util.ArrayDeque
import java.util.concurrent.Executor

class BundleLibraryTest {
    @get:Rule
    val temporary = TestBundle.temporaryFolder()
    private val folder by lazy { File(temporary.root, "bundles") }
    private val tasks = ArrayDeque<Runnable>()
    private val states = ArrayList<LibraryState>()
    private var onState: (LibraryState) -> Unit = {}
    private val library by lazy {
        BundleLibrary(BundleStore(folder), Executor { tasks.add(it) }) {
            states.add(it)
            onState(it)
        }
    }
    private val state: LibraryState get() = library.state
    private val demo = TestBundle()

    private fun settle() {
        while (true) (tasks.poll() ?: return).run()
    }

    private fun imported(zip: ByteArray = demo.zipped(), name: String = "demo.mvlm.zip"): LibraryState {
        assertTrue(library.import(name, TestBundle.opening(zip)))
        settle()
        return state
    }

    @Test
    fun theFirstListingComesAfterCleaningUpAKilledImport() {
        demo.writeTo(File(folder, "pushed.mvlm"))
        demo.writeTo(File(folder, ".import-7"))
        assertFalse(library.state.isReady)
        settle()
        assertTrue(state.isReady)
        assertEquals(listOf("pushed"), state.bundles.map { it.name })
        assertEquals(listOf("pushed.mvlm"), folder.list()!!.toList())
        TestBundle(seed = 2).writeTo(File(folder, "pushed later.mvlm"))
        library.refresh()
        settle()
        assertEquals(setOf("pushed", "pushed later"), state.bundles.map { it.name }.toSet())
    }

    @Test
    fun anImportShowsItsProgressAndThenTheBundle() {
        library
        settle()
        states.clear()
        val state = imported()
        assertEquals("demo.mvlm.zip", states.first().importing)
        val progress = states.filter { it.importing != null }.map { it.importProgress }
        assertEquals(progress.sorted(), progress)
        assertEquals(-1f to 1f, progress.first() to progress.last())
        assertNull(state.importing)
        assertEquals("demo", state.imported!!.name)
        assertEquals(listOf(state.imported), state.bundles)
    }

    @Test
    fun oneImportAtATime() {
        assertTrue(library.import("a.mvlm.zip", TestBundle.opening(demo.zipped())))
        assertFalse(library.import("b.mvlm.zip", TestBundle.opening(demo.zipped())))
        settle()
        assertEquals(listOf("a"), state.bundles.map { it.name })
        assertTrue(library.import("b.mvlm.zip", TestBundle.opening(TestBundle(seed = 2).zipped())))
        settle()
        assertEquals(2, state.bundles.size)
    }

    @Test
    fun cancellingBeforeAndWhileItRunsLeavesNothing() {
        library.import("demo.mvlm.zip", TestBundle.opening(demo.zipped()))
        library.cancel()
        settle()
        requireIdle()
        library.import("gone.mvlm.zip") { throw SecurityException("it is not even opened") }
        library.cancel()
        settle()
        assertNull(state.problem)
        onState = { if (it.importProgress > 0.3f) library.cancel() }
        val state = imported()
        requireIdle()
        assertNull(state.problem)
        assertEquals(emptyList<String>(), folder.list().orEmpty().toList())
        onState = {}
        assertNotNull(imported().imported)
        library.cancel() // nothing is running
    }

    private fun requireIdle() {
        assertNull(state.importing)
        assertNull(state.imported)
        assertEquals(emptyList<StoredBundle>(), state.bundles)
    }

    @Test
    fun whatFailsIsAProblemUntilItIsSeenOrAnotherImportBegins() {
        assertTrue("damaged" in imported(ByteArray(100)).problem!!)
        library.dismiss()
        assertNull(state.problem)
        library.import("gone.mvlm.zip") { throw SecurityException("the permission was taken back") }
        settle()
        assertEquals("gone.mvlm.zip: the permission was taken back, expected to read the file", state.problem)
        requireIdle()
        assertNull(imported().problem)
    }

    @Test
    fun aRemovedBundleIsGone() {
        val bundle = imported().imported!!
        imported(TestBundle(seed = 2).zipped(), "other.mvlm.zip")
        library.remove(bundle)
        settle()
        assertEquals(listOf("other"), state.bundles.map { it.name })
        assertEquals("other", state.imported!!.name)
        library.remove(state.imported!!)
        settle()
        requireIdle()
        library.remove(bundle) // twice is once
        settle()
        assertNull(state.problem)
        assertEquals(emptyList<String>(), folder.list()!!.toList())
    }

    @Test
    fun aBundleImportedAgainTakesItsOwnPlace() {
        imported()
        val again = imported(name = "another name.mvlm.zip")
        assertEquals(listOf("demo.mvlm"), folder.list()!!.toList())
        assertEquals("demo", again.imported!!.name)
    }

    @Test
    fun whatCannotBeRemovedIsAProblem() {
        demo.writeTo(File(folder, "demo.mvlm"))
        val library = BundleLibrary(BundleStore(folder) { throw IOException("demo.mvlm") }, Executor { tasks.add(it) }) {}
        settle()
        library.remove(library.state.bundles.single())
        settle()
        assertEquals("demo.mvlm: can't be removed, expected a folder of this app", library.state.problem)
        assertEquals(listOf("demo"), library.state.bundles.map { it.name })
    }
}
