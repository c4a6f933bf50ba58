package org.mobilevlmkit.enginehost

import org.mobilevlmkit.app.ExecuTorchEngine
import org.mobilevlmkit.app.ExecuTorchMethods
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/** Runs the app's own code with Android's engine in this JVM, prepared by `scripts/engine_host.sh`. */
object DesktopEngine : EngineFactory {
    init { // loads the library like Android's linker, before the JVM looks for it
        System.load(checkNotNull(System.getProperty("engine.host")) { "engine.host isn't set; run it by scripts/engine_host.sh" })
    }

    override fun open(folder: File, manifest: Manifest): VlmEngine = ExecuTorchEngine.open(folder, manifest)

    fun methods(folder: File, manifest: Manifest): ModelMethods = ExecuTorchMethods(folder, manifest)
}
