package org.mobilevlmkit.app

import android.content.Context
import android.graphics.Bitmap
import android.os.Looper
import android.view.View
import android.widget.ImageView
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.bundle.Manifest
import org.mobilevlmkit.core.camera.Viewfinder
import org.mobilevlmkit.core.check.CheckFixture
import org.mobilevlmkit.core.check.ModelMethods
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.EngineFactory
import org.mobilevlmkit.core.session.FakeEngine
import org.mobilevlmkit.core.session.VlmEngine
import org.robolectric.Shadows.shadowOf
import java.io.File
import java.io.InputStream
import java.nio.ByteBuffer
import java.util.ArrayDeque
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executor
import kotlin.concurrent.thread

/** A camera that delivers frames painted by the test. */
class FakeCamera(context: Context) : Camera {
    override val preview: View = ImageView(context).apply {
        scaleType = ImageView.ScaleType.CENTER_CROP
        setImageBitmap(Scenery.bitmap())
    }
    var onFrame: ((Frame) -> Unit)? = null
    var onProblem: ((CameraProblem) -> Unit)? = null
    var onAvailable: (() -> Unit)? = null
    var controls = CameraControls()
    var turns = 0

    /** What the viewfinder shows of a frame. */
    var viewfinder = Viewfinder(0, 0)

    override fun open(controls: CameraControls, listener: CameraListener) {
        this.controls = controls
        onFrame = listener::onFrame
        onProblem = listener::onProblem
        onAvailable = listener::onAvailable
        listener.onTraits(CameraTraits(hasTorch = true, canSwitch = true, maxZoom = 8f))
    }

    override fun adjust(controls: CameraControls) {
        this.controls = controls
    }

    override fun turned() {
        turns++
    }

    override fun close() {
        onFrame = null
    }

    /** Delivers a frame of the scenery or, with [edge], a plain 160 x 120 frame that is bright left of it. */
    fun frame(edge: Int? = null) {
        val scene = if (edge == null) Scenery.bitmap() else null
        val (width, height) = if (scene == null) 160 to 120 else scene.width to scene.height
        fun plane(columns: Int, rows: Int, value: (Int, Int) -> Double): Plane {
            val bytes = ByteBuffer.allocate(columns * rows)
            for (row in 0 until rows) {
                for (column in 0 until columns) {
                    bytes.put(row * columns + column, value(column, row).toInt().coerceIn(0, 255).toByte())
                }
            }
            return Plane(bytes, columns, 1)
        }
        fun mixed(x: Int, y: Int, red: Double, green: Double, blue: Double): Double {
            val pixel = scene!!.getPixel(minOf(x, width - 1), minOf(y, height - 1))
            return red * (pixel shr 16 and 255) + green * (pixel shr 8 and 255) + blue * (pixel and 255)
        }
        val luma = plane(width, height) { x, y ->
            if (edge == null) {
                mixed(x, y, 0.299, 0.587, 0.114)
            } else if (x < edge) {
                220.0
            } else {
                60.0
            }
        }
        val (half, low) = (width + 1) / 2 to (height + 1) / 2
        val blueness = plane(half, low) { x, y -> 128 + if (edge == null) mixed(2 * x, 2 * y, -0.169, -0.331, 0.5) else 0.0 }
        val redness = plane(half, low) { x, y -> 128 + if (edge == null) mixed(2 * x, 2 * y, 0.5, -0.419, -0.081) else 0.0 }
        onFrame?.invoke(Frame(width, height, luma, blueness, redness, 0, viewfinder))
    }
}

/** The picture seen by the fake camera and photo picker: one of the demo's generated scenes. */
object Scenery {
    private val samples = File(Golden.folder.parentFile.parentFile, "export/mobilevlm_export/demo/samples")
    val file = File(samples, "word-and-shapes.png")
    val other = File(samples, "two-shapes.png")

    /** The demo model's answer about it, in pieces of its tokenizer. */
    fun answer(prompt: String): List<String> {
        val (_, answer) = said.first { (question, _) -> question in prompt }
        return answer.split(" ").map { "▁$it" } + "</s>"
    }

    /** A photo for the documentation's screenshots, drawn for them. */
    val photo = File(Golden.folder.parentFile.parentFile, "android_app/app/src/test/images/table.jpg")

    /** What the camera and the picker see from now on. */
    var seen = file

    private val said = listOf(
        "Describe the image." to "A red circle in the center, an orange star at the bottom left and a yellow word MAP at the bottom right.",
        "Read the word." to "MAP",
        "Where is the orange object?" to "at the bottom left",
        "What is this?" to "Two oranges and a lime on a wooden table, next to a small sign.",
        "Read the text." to "FRESH ORANGES 3 for $2",
        "How much are the oranges?" to "Three oranges for two dollars.",
    )

    fun bitmap(): Bitmap = Photos.bitmap(Photos.read(seen))
}

/** Dependencies with a fake engine, camera and threads, so that the test decides what runs when. */
class FakeDependencies(context: Context) : Dependencies(context) {
    private val tasks = ArrayDeque<Runnable>()
    private val importTasks = ArrayDeque<Runnable>()

    /** Whether an import takes so long that other tasks end before it. */
    var isImportSlow = false

    /** A zipped bundle that was pushed into the app. */
    var pushed: File? = null

    /** A zipped bundle that is packed into the app. */
    var packed: ByteArray? = null

    /** Called when the methods for a capture are opened. */
    var onMethods: () -> Unit = {}
    val fakes = ArrayList<FakeEngine>()
    val cameras = ArrayList<FakeCamera>()
    var prepare: (FakeEngine) -> Unit = {}
    override val worker = Executor(tasks::add)
    override val io = Executor(tasks::add)
    override val imports = Executor(importTasks::add)
    override val engines = object : EngineFactory {
        override fun open(folder: File, manifest: Manifest): VlmEngine {
            val tokenizer = Tokenizer.read(File(folder, manifest.tokenizerJson))
            return timed(FakeEngine(tokenizer, manifest.maxPrefill, manifest.maxContext).also(prepare).also(fakes::add))
        }
    }
    private var nanos = 0L
    var wall = 1_700_000_000_000L

    override fun wallMs() = wall

    override fun nanoTime() = nanos

    /**
     * [engine] with a clock that only it advances: 1.8 s to load, 2.4 s for a picture, 0.3 s for a question, 0.08 s for each token after
     * the first.
     */
    private fun timed(engine: FakeEngine) = object : VlmEngine by engine {
        init {
            nanos += 1_800_000_000
        }

        override fun prefillImage(pixels: ByteArray) = engine.prefillImage(pixels).also { nanos += 2_400_000_000 }

        override fun generate(text: String, promptTokens: Int, maxNewTokens: Int, onPiece: (String) -> Unit) {
            nanos += 300_000_000
            engine.generate(text, promptTokens, maxNewTokens) { piece ->
                onPiece(piece)
                nanos += 80_000_000
            }
        }
    }

    /** What was to be heard. */
    val played = ArrayList<Earcon>()

    override fun play(earcon: Earcon) {
        played.add(earcon)
    }

    override fun packed() = packed?.let { zip -> { zip.inputStream() } }

    override fun pushedZip() = pushed?.takeIf { it.exists() }

    override fun methods(folder: File, manifest: Manifest): ModelMethods =
        CheckFixture(folder, manifest = manifest).Methods().also { onMethods() }

    override fun camera(context: Context): Camera = FakeCamera(context).also(cameras::add)

    /** Runs background and main-thread tasks until none is left. */
    fun settle() {
        repeat(ROUNDS) {
            shadowOf(Looper.getMainLooper()).idle()
            while (true) (tasks.poll() ?: break).run()
            if (!isImportSlow) while (true) (importTasks.poll() ?: break).run()
        }
        shadowOf(Looper.getMainLooper()).idle()
        check(tasks.isEmpty()) { "the app never comes to rest" }
    }

    /** Runs the oldest task of the library. */
    fun stepImports() = importTasks.remove().run()

    /** Runs the oldest task of the library on a daemon thread. */
    fun runInBackground() {
        val task = importTasks.poll()
        thread(isDaemon = true) { task.run() }
    }

    private companion object {
        const val ROUNDS = 12
    }
}

/** Delivers the first part of [bytes], then signals [stuck] and blocks. */
class StuckStream(private val bytes: ByteArray, private val until: Int, private val stuck: CountDownLatch) : InputStream() {
    private var at = 0

    override fun read(): Int {
        if (at == until) {
            stuck.countDown()
            CountDownLatch(1).await()
        }
        return bytes[at++].toInt() and 255
    }

    override fun read(into: ByteArray, offset: Int, length: Int): Int {
        into[offset] = read().toByte()
        return 1
    }
}
