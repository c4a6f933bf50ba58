package org.mobilevlmkit.core

import java.util.concurrent.CancellationException

/**
 * A long-running task: reports progress and can be cancelled from any thread.
 *
 * @param onProgress receives bytes done and total bytes, on the working thread
 */
class Job(private val onProgress: (done: Long, total: Long) -> Unit = { _, _ -> }) {
    @Volatile
    var isCancelled = false
        private set

    fun cancel() {
        isCancelled = true
    }

    /** Reports progress; throws CancellationException once the job is cancelled. */
    internal fun step(done: Long, total: Long) {
        if (isCancelled) throw CancellationException("cancelled")
        onProgress(done, total)
    }
}
