package org.mobilevlmkit.app

import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/**
 * Records that native code is running while the app is visible, so that the next start can detect that the app ended during it: a
 * crash there can't be caught, and loading the same model again at once might end the app again. In the background nothing is
 * recorded, because there the system or the user may end the app at any time.
 */
class EngineGuard(private val settings: Settings) {
    private var running = 0
    private var recorded = false

    /** Whether the app is visible. */
    var isInForeground = false
        set(value) = synchronized(this) {
            field = value
            record()
        }

    /** [engines] with guarded loading and running. */
    fun guarding(engines: EngineFactory) = object : EngineFactory {
        override fun open(folder: File, manifest: Manifest): VlmEngine = guarded { GuardedEngine(engines.open(folder, manifest)) }
    }

    private inline fun <T> guarded(work: () -> T): T {
        count(1)
        try {
            return work()
        } finally {
            count(-1)
        }
    }

    private fun count(change: Int) = synchronized(this) {
        running += change
        record()
    }

    private fun record() {
        val isBusy = running > 0 && isInForeground
        if (isBusy != recorded) settings.isEngineBusy = isBusy
        recorded = isBusy
    }

    private inner class GuardedEngine(private val engine: VlmEngine) : VlmEngine by engine {
        override fun prefillText(text: String) = guarded { engine.prefillText(text) }

        override fun prefillImage(pixels: ByteArray) = guarded { engine.prefillImage(pixels) }

        override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) =
            guarded { engine.generate(text, promptTokens, maxNewTokens, onPiece) }
    }
}
