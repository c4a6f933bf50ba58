package org.mobilevlmkit.app

import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/**
 * Records that native code is running, so that the next start can detect that the app ended during it: a crash there can't be
 * caught, and loading the same model again at once might end the app again.
 */
class GuardedEngine(private val engine: VlmEngine, private val settings: Settings) : VlmEngine by engine {
    override fun prefillText(text: String) = settings.guarded { engine.prefillText(text) }

    override fun prefillImage(pixels: ByteArray) = settings.guarded { engine.prefillImage(pixels) }

    override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) =
        settings.guarded { engine.generate(text, promptTokens, maxNewTokens, onPiece) }

    companion object {
        /** [engines] with guarded loading and running. */
        fun factory(engines: EngineFactory, settings: Settings) = object : EngineFactory {
            override fun open(folder: File, manifest: Manifest): VlmEngine =
                settings.guarded { GuardedEngine(engines.open(folder, manifest), settings) }
        }

        private inline fun <T> Settings.guarded(work: () -> T): T {
            isEngineBusy = true
            try {
                return work()
            } finally {
                isEngineBusy = false
            }
        }
    }
}
