package org.mobilevlmkit.enginehost

import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.seam.EndToEnd
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/** With the APK's engine and the app's own code around it. */
class EngineEndToEnd : EndToEnd() {
    override fun openEngine(folder: File, manifest: Manifest): VlmEngine = DesktopEngine.open(folder, manifest)

    override fun openMethods(folder: File, manifest: Manifest): ModelMethods = DesktopEngine.methods(folder, manifest)
}
