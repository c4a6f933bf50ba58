package org.mobilevlmkit.app

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.ImageView
import android.widget.TextView
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.FakeEngine
import org.mobilevlmkit.core.session.VlmEngine
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import java.io.File
import java.nio.ByteBuffer
import java.util.ArrayDeque
import java.util.concurrent.Executor

/** A camera that sees what the test paints. */
class FakeCamera(context: Context) : Camera {
    override val preview: View = ImageView(context).apply { scaleType = ImageView.ScaleType.CENTER_CROP; setImageBitmap(Scenery.bitmap()) }
    var onFrame: ((Frame) -> Unit)? = null
    var onProblem: ((CameraProblem) -> Unit)? = null

    override fun open(onFrame: (Frame) -> Unit, onProblem: (CameraProblem) -> Unit) {
        this.onFrame = onFrame
        this.onProblem = onProblem
    }

    override fun close() {
        onFrame = null
    }

    /** A frame of the scenery; with [edge] of a plain scene of 160 x 120 that is bright up to there. */
    fun frame(edge: Int? = null) {
        val scene = if (edge == null) Scenery.bitmap() else null
        val (width, height) = if (scene == null) 160 to 120 else scene.width to scene.height
        fun plane(columns: Int, rows: Int, value: (Int, Int) -> Double): Plane {
            val bytes = ByteBuffer.allocate(columns * rows)
            for (row in 0 until rows) for (column in 0 until columns) bytes.put(row * columns + column, value(column, row).toInt().coerceIn(0, 255).toByte())
            return Plane(bytes, columns, 1)
        }
        fun mixed(x: Int, y: Int, red: Double, green: Double, blue: Double): Double {
            val pixel = scene!!.getPixel(minOf(x, width - 1), minOf(y, height - 1))
            return red * (pixel shr 16 and 255) + green * (pixel shr 8 and 255) + blue * (pixel and 255)
        }
        val luma = plane(width, height) { x, y -> if (edge == null) mixed(x, y, 0.299, 0.587, 0.114) else if (x < edge) 220.0 else 60.0 }
        val (half, low) = (width + 1) / 2 to (height + 1) / 2
        val blueness = plane(half, low) { x, y -> 128 + if (edge == null) mixed(2 * x, 2 * y, -0.169, -0.331, 0.5) else 0.0 }
        val redness = plane(half, low) { x, y -> 128 + if (edge == null) mixed(2 * x, 2 * y, 0.5, -0.419, -0.081) else 0.0 }
        onFrame?.invoke(Frame(width, height, luma, blueness, redness, 0))
    }
}

/** The picture of the tests' camera and photos: one of the demo's generated scenes. */
object Scenery {
    val file = File(Golden.folder.parentFile.parentFile, "export/mobilevlm_export/demo/samples/word-and-shapes.png")

    fun bitmap(): Bitmap = Photos.bitmap(Photos.read(file))
}

/** The parts of the app with fake engine, camera and threads: what runs, and when, is the test's to say. */
class FakeParts(context: Context) : Parts(context) {
    private val tasks = ArrayDeque<Runnable>()
    val fakes = ArrayList<FakeEngine>()
    val cameras = ArrayList<FakeCamera>()
    var prepare: (FakeEngine) -> Unit = {}
    override val worker = Executor(tasks::add)
    override val io = Executor(tasks::add)
    override val engines = object : EngineFactory {
        override fun open(folder: File, manifest: org.mobilevlmkit.core.bundle.Manifest): VlmEngine =
            FakeEngine(Tokenizer.read(File(folder, manifest.tokenizerJson)), manifest.maxPrefill, manifest.maxContext).also(prepare).also(fakes::add)
    }

    override fun camera(context: Context): Camera = FakeCamera(context).also(cameras::add)

    /** Runs the threads' and the screen's tasks until none is left. */
    fun settle() {
        repeat(ROUNDS) {
            shadowOf(Looper.getMainLooper()).idle()
            while (true) (tasks.poll() ?: break).run()
        }
        shadowOf(Looper.getMainLooper()).idle()
        check(tasks.isEmpty()) { "the app never comes to rest" }
    }

    private companion object {
        const val ROUNDS = 12
    }
}

/** The app as tests start it. */
class StagedApp : App() {
    val fake by lazy { FakeParts(this) }

    override fun parts(): Parts = fake
}

/** The real activity on a stage of fakes. */
class Stage {
    val app get() = RuntimeEnvironment.getApplication() as StagedApp
    val parts get() = app.fake
    lateinit var controller: ActivityController<MainActivity>
    val activity: MainActivity get() = controller.get()
    val state get() = app.model.state
    val camera get() = parts.cameras.last()

    fun allowCamera() = shadowOf(app).grantPermissions(android.Manifest.permission.CAMERA)

    fun push(name: String = "demo.mvlm", bundle: TestBundle = TestBundle()) =
        bundle.writeTo(File(app.getExternalFilesDir("bundles"), name))

    fun start(): Stage {
        controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        parts.settle()
        return this
    }

    /** With a model, the camera allowed, and a picture of the camera taken. */
    fun seen(): Stage {
        allowCamera()
        push()
        start()
        touch(app.getString(R.string.shutter))
        camera.frame()
        parts.settle()
        return this
    }

    fun views(): List<View> = all(activity.window.decorView).filter { it.isShown }

    fun texts(): String = views().filterIsInstance<TextView>().joinToString("\n") { "${it.text}" }

    /** Touches the view whose text or description is [label]. */
    fun touch(label: String) {
        val view = views().firstOrNull { (it is TextView && "${it.text}" == label || "${it.contentDescription}" == label) && it.isClickable }
        checkNotNull(view) { "$label is not to be seen among:\n${texts()}" }.performClick()
        parts.settle()
    }

    fun touch(label: Int) = touch(app.getString(label))

    fun field(): TextView = activity.findViewById(R.id.question)

    fun ask(question: String) {
        field().text = question
        touch(R.string.ask)
    }

    fun screenshot(name: String): Bitmap {
        val view = activity.window.decorView
        val metrics = activity.resources.displayMetrics
        view.measure(View.MeasureSpec.makeMeasureSpec(metrics.widthPixels, View.MeasureSpec.EXACTLY), View.MeasureSpec.makeMeasureSpec(metrics.heightPixels, View.MeasureSpec.EXACTLY))
        view.layout(0, 0, metrics.widthPixels, metrics.heightPixels)
        val bitmap = Bitmap.createBitmap(metrics.widthPixels, metrics.heightPixels, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val folder = File(System.getProperty("screenshots")).apply { mkdirs() }
        File(folder, "$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        return bitmap
    }

    private fun all(view: View): List<View> = listOf(view) + if (view is ViewGroup) (0 until view.childCount).flatMap { all(view.getChildAt(it)) } else emptyList()
}
