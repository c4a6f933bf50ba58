package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.OutdatedException
import java.io.IOException
import java.io.InputStream
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor

/**
 * All that a screen shows of the bundles on this phone; immutable.
 *
 * @property isReady whether [bundles] have been listed once
 * @property bundles newest first
 * @property importing the name of what is being imported, or null
 * @property importProgress share of it that is unpacked and checked, 0 to 1; below 0 while the archive is searched for its manifest
 * @property imported the bundle that came last, to be opened
 * @property problem why the last import or removal failed
 * @property outdated the name of the bundle that was last to be imported and wasn't, because it must be exported again
 */
data class LibraryState(
    val isReady: Boolean = false,
    val bundles: List<StoredBundle> = emptyList(),
    val importing: String? = null,
    val importProgress: Float = -1f,
    val imported: StoredBundle? = null,
    val problem: String? = null,
    val outdated: String? = null,
)

/**
 * The bundles on this phone, imported and removed one after another on a [worker], also while the app is in the background.
 *
 * What an import left when the app was killed is swept away before the first list.
 *
 * @param worker runs one task at a time, in order; not the session's, or an import would hold up an answer
 * @param listener is given every new state in order, under the library's lock: it must only hand it on
 */
class BundleLibrary(private val store: BundleStore, private val worker: Executor, private val listener: (LibraryState) -> Unit) {
    private val lock = Any()
    private var published = LibraryState()
    private var job: Job? = null // of the import that runs or waits

    init {
        worker.execute {
            val problem = errorOf { store.recover() }
            publish { it.copy(isReady = true, bundles = store.list(), problem = problem) }
        }
    }

    /** The newest state. */
    val state: LibraryState get() = synchronized(lock) { published }

    /** Lists the bundles again: one may have been pushed. */
    fun refresh() = worker.execute { publish { it.copy(isReady = true, bundles = store.list()) } }

    /**
     * Imports the zipped bundle that [open] reads (twice); [fileName] is what the user calls it. False, and nothing happens, if an
     * import is under way.
     */
    fun import(fileName: String, open: () -> InputStream): Boolean {
        val newJob = Job { done, total -> progress(done, total) }
        synchronized(lock) {
            if (job != null) return false
            job = newJob
            publish { it.copy(importing = fileName, importProgress = -1f, imported = null, problem = null, outdated = null) }
        }
        worker.execute { run(fileName, open, newJob) }
        return true
    }

    /** Ends the import that is under way; nothing of it is left. */
    fun cancel() = synchronized(lock) { job?.cancel() ?: Unit }

    /** Removes [bundle] for good. A session that uses it should be closed before. */
    fun remove(bundle: StoredBundle) = worker.execute {
        val problem = errorOf { store.remove(bundle) }
        val left = store.list()
        publish { it.copy(bundles = left, imported = it.imported.takeIf { last -> last?.folder != bundle.folder }, problem = problem) }
    }

    /** The problem was seen. */
    fun dismiss() = publish { it.copy(problem = null, outdated = null) }

    private fun run(fileName: String, open: () -> InputStream, newJob: Job) {
        var imported: StoredBundle? = null
        var problem: String? = null
        var outdated: String? = null
        try {
            newJob.step(0, 0)
            imported = store.import(fileName, open, newJob)
        } catch (_: CancellationException) {
            // As the user requested.
        } catch (error: OutdatedException) {
            outdated = error.name
        } catch (error: BundleException) {
            problem = error.message
        } catch (error: Throwable) { // a document's provider may throw anything
            problem = "$fileName: ${error.message ?: error.javaClass.simpleName}, expected to read the file"
        }
        val bundles = store.list()
        synchronized(lock) {
            job = null
            publish {
                it.copy(
                    isReady = true,
                    bundles = bundles,
                    importing = null,
                    importProgress = -1f,
                    imported = imported,
                    problem = problem,
                    outdated = outdated,
                )
            }
        }
    }

    /** What [work] on the disk says of its failure; null if there is none. */
    private fun errorOf(work: () -> Unit): String? = try {
        work()
        null
    } catch (error: IOException) {
        "${error.message}: can't be removed, expected a folder of this app"
    }

    private fun progress(done: Long, total: Long) {
        if (total > 0) publish { it.copy(importProgress = done.toFloat() / total) }
    }

    private fun publish(change: (LibraryState) -> LibraryState) = synchronized(lock) {
        val new = change(published)
        if (new != published) {
            published = new
            listener(new)
        }
    }
}
