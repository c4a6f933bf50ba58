package org.mobilevlmkit.core

import java.util.concurrent.CancellationException

/**
 * A long piece of work as its owner sees it: how far it is, and a way to end it early from any thread.
 *
 * @param onProgress bytes done and bytes in all, called from the working thread
 */
class Job(private val onProgress: (done: Long, total: Long) -> Unit = { _, _ -> }) {
    @Volatile
    var isCancelled = false
        private set

    fun cancel() {
        isCancelled = true
    }

    /** Tells progress; throws CancellationException once the job is cancelled. */
    internal fun step(done: Long, total: Long) {
        if (isCancelled) throw CancellationException("cancelled")
        onProgress(done, total)
    }
}
