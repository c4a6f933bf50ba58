package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.OutdatedException
import java.io.IOException
import java.io.InputStream
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor

/**
 * Everything the screens show about the bundles on this phone; immutable.
 *
 * @property isReady whether [bundles] have been listed once
 * @property bundles newest first
 * @property importing the name of the bundle being imported, empty until it is known; null if none is
 * @property importProgress fraction unpacked and verified, 0 to 1; negative while the manifest is being located
 * @property imported the bundle imported last, to be opened
 * @property problem why the last import or removal failed
 * @property outdated the name of the bundle whose import was refused because it must be exported again
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
 * Leftovers of an import that was interrupted by the app's end are deleted before the first listing.
 *
 * @param worker runs one task at a time, in order; not the session's worker, or an import would delay an answer
 * @param listener receives every new state in order, under the library's lock, so it must only pass it on
 */
class BundleLibrary(private val store: BundleStore, private val worker: Executor, private val listener: (LibraryState) -> Unit) {
    private val lock = Any()
    private var published = LibraryState()
    private var job: Job? = null // of the running or queued import

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
     * Imports the zipped bundle that [open] reads (twice); [fileName] is its name for the user. Returns false if another
     * import is running.
     */
    fun import(fileName: String, open: () -> InputStream): Boolean = import({ fileName }, fileName, {}, open)

    /** As above; [nameOf] gives the name, and [onEnd] is called when it has ended, both on the worker. */
    fun import(nameOf: () -> String, onEnd: () -> Unit = {}, open: () -> InputStream): Boolean = import(nameOf, "", onEnd, open)

    private fun import(nameOf: () -> String, knownName: String, onEnd: () -> Unit, open: () -> InputStream): Boolean {
        val newJob = Job { done, total -> progress(done, total) }
        synchronized(lock) {
            if (job != null) return false
            job = newJob
            publish { it.copy(importing = knownName, importProgress = -1f, imported = null, problem = null, outdated = null) }
        }
        worker.execute {
            val fileName = nameOf()
            publish { it.copy(importing = fileName) }
            run(fileName, open, newJob)
            onEnd()
        }
        return true
    }

    /** Cancels the running import and deletes its files. */
    fun cancel() = synchronized(lock) { job?.cancel() ?: Unit }

    /** Deletes [bundle] permanently. Close a session that uses it first. */
    fun remove(bundle: StoredBundle) = worker.execute {
        val problem = errorOf { store.remove(bundle) }
        val left = store.list()
        publish { it.copy(bundles = left, imported = it.imported.takeIf { last -> last?.folder != bundle.folder }, problem = problem) }
    }

    /** Clears the problem after the user has seen it. */
    fun dismiss() = publish { it.copy(problem = null, outdated = null) }

    private fun run(fileName: String, open: () -> InputStream, newJob: Job) {
        var imported: StoredBundle? = null
        var problem: String? = null
        var outdated: String? = null
        try {
            newJob.step(0, 0)
            imported = store.import(fileName, open, newJob)
        } catch (_: CancellationException) {
            // The user cancelled it.
        } catch (error: OutdatedException) {
            outdated = error.name
        } catch (error: BundleException) {
            problem = error.message
        } catch (error: Throwable) { // a document provider may throw anything
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

    /** The error message if the file operation [work] fails, else null. */
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
