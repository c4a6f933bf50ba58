package org.mobilevlmkit.app

import android.content.Context
import android.hardware.camera2.CameraManager
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.view.TextureView

/**
 * The phone's camera through Camera2. After a problem it waits until the system reports a camera as available, as another app closes
 * it, and a little longer after each failure in a row.
 */
class PhoneCamera(private val context: Context) : Camera {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val main = Handler(Looper.getMainLooper())
    private val texture = TextureView(context)
    private var opened: OpenCamera? = null
    private var waiting: CameraManager.AvailabilityCallback? = null
    private var failures = 0

    override val preview get() = texture

    override fun open(controls: CameraControls, listener: CameraListener) {
        close()
        opened = OpenCamera(context, manager, texture, thread, Watched(listener), controls).also { it.begin() }
    }

    override fun adjust(controls: CameraControls) = opened?.adjust(controls) ?: Unit

    override fun turned() = opened?.turn() ?: Unit

    override fun close() {
        waiting?.let(manager::unregisterAvailabilityCallback)
        waiting = null
        main.removeCallbacksAndMessages(null)
        opened?.end()
        opened = null
    }

    /** Passes on what the camera reports, and begins to wait after a problem. */
    private inner class Watched(private val listener: CameraListener) : CameraListener by listener {
        override fun onFrame(frame: Frame) {
            failures = 0
            listener.onFrame(frame)
        }

        override fun onProblem(problem: CameraProblem) {
            close()
            if (problem != CameraProblem.NO_CAMERA) await(listener)
            listener.onProblem(problem)
        }
    }

    private fun await(listener: CameraListener) {
        val delay = minOf(FIRST_WAIT_MS shl failures, LONGEST_WAIT_MS)
        failures = minOf(failures + 1, MOST_FAILURES)
        val retry = Runnable { listener.onAvailable() }
        fun available() {
            main.removeCallbacks(retry)
            main.postDelayed(retry, delay)
        }
        val callback = object : CameraManager.AvailabilityCallback() {
            override fun onCameraAvailable(cameraId: String) = available() // at once for those that are available

            override fun onCameraAccessPrioritiesChanged() = available()
        }
        waiting = callback
        manager.registerAvailabilityCallback(callback, main)
    }

    companion object {
        private const val FIRST_WAIT_MS = 500L
        private const val LONGEST_WAIT_MS = 8_000L
        private const val MOST_FAILURES = 5

        /** For all cameras of the process and never ended, so that one that is still opening when it is closed finds its thread. */
        internal val thread: Handler by lazy { Handler(HandlerThread("camera").apply { start() }.looper) }
    }
}
