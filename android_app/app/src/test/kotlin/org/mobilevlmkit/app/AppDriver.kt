package org.mobilevlmkit.app

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Bundle
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import android.window.OnBackInvokedCallback
import org.mobilevlmkit.core.bundle.TestBundle
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.shadows.ShadowDialog
import java.io.File
import java.time.Duration
import java.util.Locale
import java.util.concurrent.CountDownLatch

/** The application class for tests. */
class TestApp : App() {
    private var current: AppModel? = null
    var fake: FakeDependencies? = null
        private set
    override val model: AppModel get() = current ?: AppModel(dependencies()).also { current = it }

    override fun dependencies(): FakeDependencies = fake ?: FakeDependencies(this).also { fake = it }

    /** Simulates the end of the process: files on disk stay. */
    fun die() {
        current = null
        fake = null
    }
}

/** Drives the real activity with fake dependencies. */
class AppDriver {
    val app get() = RuntimeEnvironment.getApplication() as TestApp
    val dependencies get() = app.dependencies()
    val engine get() = dependencies.fakes.last()
    lateinit var controller: ActivityController<MainActivity>
    val activity: MainActivity get() = controller.get()
    val state get() = app.model.state
    val camera get() = dependencies.cameras.last()

    fun string(id: Int, vararg values: Any): String = app.getString(id, *values)

    // --- before the start

    fun allowCamera() = shadowOf(app).grantPermissions(android.Manifest.permission.CAMERA)

    /** Sets the memory that the system reports as available, without its reserve. */
    fun giveMemory(bytes: Long) = shadowOf(app.getSystemService(ActivityManager::class.java))
        .setMemoryInfo(
            ActivityManager.MemoryInfo().apply {
                availMem = bytes + KEPT
                threshold = KEPT
            },
        )

    fun folder(name: String) = File(app.getExternalFilesDir("bundles"), name)

    fun push(name: String = "demo.mvlm", bundle: TestBundle = TestBundle()) = bundle.writeTo(folder(name))

    // --- lifecycle

    fun start(saved: Bundle? = null, intent: Intent? = null): AppDriver {
        controller = Robolectric.buildActivity(MainActivity::class.java, intent)
        controller.create(saved).start()
        if (saved != null) controller.restoreInstanceState(saved)
        controller.postCreate(saved).resume().visible()
        dependencies.settle()
        return this
    }

    /** Starts with a model and with camera permission. */
    fun aiming(): AppDriver {
        allowCamera()
        push()
        return start()
    }

    /** As `aiming`, with a photo taken. */
    fun seen(): AppDriver {
        aiming()
        take()
        return this
    }

    fun take() {
        touch(R.string.shutter)
        camera.frame()
        dependencies.settle()
    }

    /** Changes the orientation, language, font size or color mode. */
    fun change(qualifiers: String, fontScale: Float = 1f) {
        RuntimeEnvironment.setQualifiers(qualifiers)
        RuntimeEnvironment.setFontScale(fontScale)
        Locale.setDefault(app.resources.configuration.locales[0])
        controller.recreate()
        idle()
    }

    fun leave() {
        controller.pause().stop()
        dependencies.settle()
    }

    fun comeBack() {
        controller.restart().start().resume()
        dependencies.settle()
    }

    /** The system ends the app in the background, and the user returns. */
    fun dieAndComeBack() {
        val saved = Bundle()
        controller.pause().stop().saveInstanceState(saved)
        dependencies.settle()
        app.die()
        start(saved)
    }

    /** An import that stays half done. */
    fun importHalf(name: String = "half.mvlm.zip") {
        val zip = TestBundle(programBytes = 400_000).zipped()
        val stuck = CountDownLatch(1)
        var opened = 0
        app.model.import(name) { if (++opened == 1) zip.inputStream() else StuckStream(zip, zip.size / 2, stuck) }
        dependencies.runInBackground()
        stuck.await()
        idle()
    }

    /** Whether the app handles the back gesture. */
    val handlesBack: Boolean get() = activity.back.callback != null

    /** The back gesture: the app's, or the system's way out. */
    fun swipeBack() {
        val callback = activity.back.callback as OnBackInvokedCallback?
        if (callback == null) activity.finish() else callback.onBackInvoked()
        dependencies.settle()
    }

    // --- views and touches

    /** The activity's window and the dialog's, if there is one. */
    fun windows(): List<View> {
        val dialog = ShadowDialog.getLatestDialog()?.takeIf { it.isShowing }
        return listOfNotNull(activity.window.decorView, dialog?.window?.decorView)
    }

    fun views(): List<View> = windows().reversed().flatMap(::below).filter { it.isShown }

    fun texts(): String = views().filterIsInstance<TextView>().joinToString("\n") { "${it.text}" }

    fun isSeen(id: Int, vararg values: Any) = string(id, *values) in texts()

    /** The view whose text or description is [label]. */
    fun find(label: String): View? =
        views().firstOrNull { it.isClickable && (it is TextView && "${it.text}" == label || "${it.contentDescription}" == label) }

    /** Clicks it without running any other tasks. */
    fun press(label: String) {
        val view = checkNotNull(find(label)) { "$label is not to be seen among:\n${texts()}" }
        check(view.isEnabled) { "$label can't be touched" }
        view.performClick()
    }

    fun touch(label: String) {
        press(label)
        dependencies.settle()
    }

    fun touch(label: Int, vararg values: Any) = touch(string(label, *values))

    fun field(): TextView = activity.findViewById(R.id.question)

    fun ask(question: String) {
        field().text = question
        touch(R.string.send)
    }

    fun idle() = shadowOf(Looper.getMainLooper()).idle()

    /** Lays out [window] at the screen's size, or a dialog at the size of its content. */
    fun layOut(window: View) {
        val metrics = activity.resources.displayMetrics
        val isDialog = window !== activity.window.decorView
        val mode = if (isDialog) View.MeasureSpec.AT_MOST else View.MeasureSpec.EXACTLY
        val margin = if (isDialog) metrics.widthPixels / 10 else 0
        val width = View.MeasureSpec.makeMeasureSpec(metrics.widthPixels - margin, mode)
        window.measure(width, View.MeasureSpec.makeMeasureSpec(metrics.heightPixels, mode))
        window.layout(0, 0, window.measuredWidth, window.measuredHeight)
    }

    fun screenshot(name: String): Bitmap {
        val window = activity.window.decorView
        layOut(window)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1)) // let scrolling finish
        val bitmap = Bitmap.createBitmap(window.width, window.height, Bitmap.Config.ARGB_8888)
        window.draw(Canvas(bitmap))
        val folder = File(System.getProperty("screenshots")).apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        return bitmap
    }

    companion object {
        private const val KEPT = 200L shl 20

        fun below(view: View): List<View> {
            if (view !is ViewGroup) return listOf(view)
            return listOf(view) + (0 until view.childCount).flatMap { below(view.getChildAt(it)) }
        }
    }
}
