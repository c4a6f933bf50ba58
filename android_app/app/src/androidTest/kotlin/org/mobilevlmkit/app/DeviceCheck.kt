package org.mobilevlmkit.app

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import android.os.SystemClock
import org.mobilevlmkit.core.session.Phase

/**
 * *Check this phone* in the app itself, on a device or an emulator: imports the demo model that is packed with this test, loads it
 * with the app's engine, and runs its golden records. `scripts/check_on_device.sh` starts it. Framework only, as the app.
 */
class DeviceCheck : Instrumentation() {
    private val model get() = (targetContext.applicationContext as App).model

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        start()
    }

    /** On a thread of its own. */
    override fun onStart() {
        super.onStart()
        val failure = try {
            difference()
        } catch (error: Throwable) { // whatever it is, it is this test's result
            "$error"
        }
        val results = Bundle().apply { putString(REPORT_KEY_STREAMRESULT, failure ?: "This phone matches the desktop.") }
        finish(if (failure == null) Activity.RESULT_OK else Activity.RESULT_CANCELED, results)
    }

    /** Returns why this phone doesn't match the desktop; null if it does. */
    private fun difference(): String? {
        startActivitySync(Intent(targetContext, MainActivity::class.java).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK))
        runOnMainSync { model.import(MODEL) { context.assets.open(MODEL) } }
        val loaded = awaited { it.session.phase == Phase.READY || it.session.problem != null || it.library.problem != null }
        if (loaded.session.phase != Phase.READY) return "${loaded.library.problem ?: loaded.session.problem}"
        runOnMainSync {
            model.go(Screen.CHECK)
            model.startCheck()
        }
        val checked = checkNotNull(awaited { it.check?.isRunning == false }.check)
        val findings = checked.findings.joinToString("\n") { it.line }
        val isSame = checked.measurements != null && checked.findings.isNotEmpty() && checked.findings.all { it.same }
        return if (isSame) null else "${checked.failure ?: "It differs from the desktop."}\n$findings"
    }

    /** The first state that [isIt]. */
    private fun awaited(isIt: (UiState) -> Boolean): UiState {
        val end = SystemClock.elapsedRealtime() + LONGEST_MS
        while (true) {
            val state = model.states.value
            if (isIt(state)) return state
            check(SystemClock.elapsedRealtime() < end) { "got no result in ${LONGEST_MS / 1000} s: $state" }
            SystemClock.sleep(100)
        }
    }

    private companion object {
        const val MODEL = "demo.mvlm.zip"
        const val LONGEST_MS = 300_000L
    }
}
