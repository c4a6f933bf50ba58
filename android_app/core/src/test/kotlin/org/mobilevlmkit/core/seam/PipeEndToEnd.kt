package org.mobilevlmkit.core.seam

import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.session.VlmEngine
import java.io.File

/** With ExecuTorch's C++ runner on the desktop. `tests/host/test_android_session.py` runs it. */
class PipeEndToEnd : EndToEnd() {
    private val command = (Seam.given["command"] as List<*>).map { "$it" }

    override fun openEngine(folder: File, manifest: Manifest): VlmEngine = PipeEngine(Pipe(command, folder))

    override fun openMethods(folder: File, manifest: Manifest): ModelMethods = PipeMethods(Pipe(command, folder))
}
