package org.mobilevlmkit.app

import org.mobilevlmkit.core.check.CaptureWriter
import org.mobilevlmkit.core.check.CheckReport
import org.mobilevlmkit.core.check.SelfCheck
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.VlmSession
import java.io.File
import java.util.concurrent.CancellationException

/** Runs "Check this phone" on the session's thread and reports it on the main thread through [onChange]. */
class PhoneCheck(private val session: VlmSession, private val dependencies: Dependencies, private val onChange: (CheckState) -> Unit) {
    private var state = CheckState()
    private var report: CheckReport? = null

    @Volatile
    private var hasBegun = false

    @Volatile
    private var isEnded = false

    /** Returns false if no model is loaded. */
    fun start(): Boolean {
        val isBegun = session.check { model, job ->
            hasBegun = true
            attempt {
                val done = SelfCheck(model, Photos::read, dependencies.phone::thermal, dependencies::nanoTime).run(job) {
                    update { copy(findings = findings + it) }
                }
                report = done
                update { copy(measurements = done.measurements) }
            }
            update { copy(isRunning = false) }
        }
        if (isBegun) onChange(state)
        return isBegun
    }

    /** The session has a new state: it may have dropped the check before it began, such as when the user leaves the app. */
    fun onSession() {
        if (state.isRunning && !hasBegun && session.state.phase != Phase.CHECKING) update { copy(isRunning = false) }
    }

    /**
     * Computes the most informative record stage by stage, writes it for `mvlm replay`, and passes the file's name to [onFile] on the main
     * thread.
     */
    fun capture(onFile: (String) -> Unit) {
        val done = report ?: return
        val record = done.mostInformative ?: return
        session.check { model, _ ->
            update { copy(isCapturing = true, failure = null) }
            attempt {
                model.release() // there is no memory for two programs
                val capture = dependencies.methods(model.folder, model.manifest).use {
                    done.capture(record, model, it, dependencies.phone.describe())
                }
                val file = File(CaptureProvider.folder(dependencies.context), "capture-${System.currentTimeMillis()}.zip")
                CaptureWriter.write(capture, file)
                dependencies.main.execute { if (!isEnded) onFile(file.name) }
            }
            update { copy(isCapturing = false) }
        }
    }

    fun end() {
        isEnded = true
        session.stop()
    }

    private fun attempt(work: () -> Unit) = try {
        work()
    } catch (_: CancellationException) {
        // The user left.
    } catch (error: Throwable) { // including OutOfMemoryError: the screen must never wait forever
        update { copy(failure = error.message ?: error.javaClass.simpleName) }
    }

    private fun update(change: CheckState.() -> CheckState) = dependencies.main.execute {
        state = state.change()
        if (!isEnded) onChange(state)
    }
}
