package org.mobilevlmkit.app

import android.app.Application
import android.content.Context
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import org.mobilevlmkit.core.bundle.BundleStore
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.session.EngineFactory
import java.io.File
import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/** What the app is made of; tests put their own engine, camera and threads in. */
open class Dependencies(val context: Context) {
    val settings = Settings(context)
    val phone = Phone(context)

    /** Bundles lie where `mvlm push` puts them: the one folder that both adb and an app without storage permission reach. */
    private val bundles = context.getExternalFilesDir(BUNDLES) ?: File(context.filesDir, BUNDLES)
    val store = BundleStore(bundles)

    /** Where files of this app lie. */
    val folders = listOf(bundles, CaptureProvider.folder(context), context.cacheDir)
    open val engines: EngineFactory = ExecuTorchEngine

    /** Runs the model; one task after another. */
    open val worker: Executor by lazy { Executors.newSingleThreadExecutor { Thread(it, "model") } }

    /** Reads and writes files; one task after another. */
    open val io: Executor by lazy { Executors.newSingleThreadExecutor { Thread(it, "files") } }
    open val main: Executor = Handler(Looper.getMainLooper()).let { handler -> Executor { handler.post(it) } }

    open fun nowMs(): Long = SystemClock.elapsedRealtime()

    /** A clock that measures. */
    open fun nanoTime(): Long = System.nanoTime()

    open fun camera(context: Context): Camera = PhoneCamera(context)

    open fun methods(folder: File, manifest: Manifest): ModelMethods = ExecuTorchMethods(folder, manifest)

    /** Opens the bundle that `make apk` may have put into the app; null if it has none. */
    open fun packed(): (() -> InputStream)? = if (PACKED in context.assets.list("").orEmpty()) ({ context.assets.open(PACKED) }) else null

    private companion object {
        const val BUNDLES = "bundles"
        const val PACKED = "packed.mvlm.zip"
    }
}

/** Holds what outlives the activity: the model is not loaded again when the phone is turned. */
open class App : Application() {
    open fun dependencies() = Dependencies(this)

    open val model: AppModel by lazy { AppModel(dependencies()) }
}
