package org.mobilevlmkit.enginehost

import org.mobilevlmkit.app.ExecuTorchEngine
import org.mobilevlmkit.app.ExecuTorchMethods
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/** The app's own code over Android's engine in this JVM, which `scripts/engine_host.sh` prepares. */
object DesktopEngine : EngineFactory {
    init { // before the JVM looks for the library: it is loaded as Android's linker would
        System.load(checkNotNull(System.getProperty("engine.host")) { "engine.host isn't set; run it by scripts/engine_host.sh" })
    }

    override fun open(folder: File, manifest: Manifest): VlmEngine = ExecuTorchEngine.open(folder, manifest)

    fun methods(folder: File, manifest: Manifest): ModelMethods = ExecuTorchMethods(folder, manifest)
}
