package org.mobilevlmkit.app

import android.app.Application
import android.content.Context
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import org.mobilevlmkit.core.bundle.BundleStore
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.bundle.VerifiedBundles
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.session.EngineFactory
import java.io.File
import java.io.InputStream
import java.util.concurrent.Executor
import java.util.concurrent.Executors

/** The app's dependencies; tests replace engine, camera and threads. */
open class Dependencies(val context: Context) {
    val settings = Settings(context)
    val phone = Phone(context)
    val guard = EngineGuard(settings)

    /** On shared storage, so that a bundle is seen when the phone is connected to a computer. */
    private val bundles = context.getExternalFilesDir(BUNDLES) ?: File(context.filesDir, BUNDLES)
    val store = BundleStore(bundles)

    /** Where `mvlm push` puts a zipped bundle into a debuggable app. */
    private val pushed = File(context.filesDir, "pushed")
    val verified = VerifiedBundles(File(context.filesDir, "verified"))

    val conversations = Conversations(File(context.filesDir, "conversations"))

    /** Folders with this app's files. */
    val folders = listOf(bundles, pushed, CaptureProvider.folder(context), context.cacheDir)
    open val engines: EngineFactory = ExecuTorchEngine

    /** Runs the model; one task after another. */
    open val worker: Executor by lazy { Executors.newSingleThreadExecutor { Thread(it, "model") } }

    /** Imports, lists and removes bundles; one task after another. */
    open val imports: Executor by lazy { Executors.newSingleThreadExecutor { Thread(it, "imports") } }

    /** Reads and writes pictures and conversations; one task after another. Not those of [imports], which may take minutes. */
    open val io: Executor by lazy { Executors.newSingleThreadExecutor { Thread(it, "files") } }
    open val main: Executor = Handler(Looper.getMainLooper()).let { handler -> Executor { handler.post(it) } }

    open fun nowMs(): Long = SystemClock.elapsedRealtime()

    /** Milliseconds since 1970. */
    open fun wallMs(): Long = System.currentTimeMillis()

    /** A monotonic clock. */
    open fun nanoTime(): Long = System.nanoTime()

    private val sounds by lazy { Sounds(context) }

    open fun play(earcon: Earcon) = sounds.play(earcon)

    open fun camera(context: Context): Camera = PhoneCamera(context)

    open fun methods(folder: File, manifest: Manifest): ModelMethods = ExecuTorchMethods(folder, manifest)

    /** A zipped bundle that was pushed into the app and is complete. */
    open fun pushedZip(): File? = pushed.listFiles().orEmpty().firstOrNull { it.isFile && it.name.endsWith(".zip") }

    /** Opens the bundle that `make apk` packed into the app; null if there is none. */
    open fun packed(): (() -> InputStream)? = if (PACKED in context.assets.list("").orEmpty()) ({ context.assets.open(PACKED) }) else null

    private companion object {
        const val BUNDLES = "bundles"
        const val PACKED = "packed.mvlm.zip"
    }
}

/** Holds what outlives the activity, so that rotation doesn't load the model again. */
open class App : Application() {
    open fun dependencies() = Dependencies(this)

    open val model: AppModel by lazy { AppModel(dependencies()) }
}
