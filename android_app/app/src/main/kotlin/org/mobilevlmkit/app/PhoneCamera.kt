package org.mobilevlmkit.app

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.util.Size
import android.view.Surface
import android.view.TextureView
import android.view.WindowManager
import org.mobilevlmkit.core.pixels.Plane

/**
 * The back camera (or the only one) through Camera2: one stream for the preview, one of the same size for the app. The newest frame wins;
 * a slow reader drops frames.
 */
@Suppress("DEPRECATION") // the calls that replaced these came with API 28 and 30
class PhoneCamera(private val context: Context) : Camera {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val texture = TextureView(context)
    private val main = Handler(Looper.getMainLooper())
    private var opened: OpenCamera? = null

    override val preview get() = texture

    override fun open(onFrame: (Frame) -> Unit, onProblem: (CameraProblem) -> Unit) {
        close()
        try {
            val id = pick()
            if (id == null) onProblem(CameraProblem.NO_CAMERA) else opened = OpenCamera(id, onFrame, onProblem).also { it.begin() }
        } catch (_: CameraAccessException) {
            onProblem(CameraProblem.FAILED)
        }
    }

    override fun close() {
        opened?.end()
        opened = null
    }

    private fun pick(): String? {
        val ids = manager.cameraIdList
        return ids.firstOrNull { facing(it) == CameraCharacteristics.LENS_FACING_BACK } ?: ids.firstOrNull()
    }

    private fun facing(id: String) = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING)

    /** The camera from [begin] to [end]. */
    private inner class OpenCamera(
        private val id: String,
        private val onFrame: (Frame) -> Unit,
        private val onProblem: (CameraProblem) -> Unit,
    ) {
        private val traits = manager.getCameraCharacteristics(id)
        private val thread = HandlerThread("camera").apply { start() }
        private val handler = Handler(thread.looper)
        private val size = size()
        private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 2)
        private var device: CameraDevice? = null
        private var surface: Surface? = null

        @Volatile
        private var isEnded = false

        @Volatile
        private var rotation = 0

        fun begin() {
            reader.setOnImageAvailableListener({ available(it) }, handler)
            texture.surfaceTextureListener = object : TextureView.SurfaceTextureListener {
                override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = connect()
                override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = turn()
                override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean = true
                override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit
            }
            if (texture.isAvailable) connect()
        }

        fun end() {
            isEnded = true
            texture.surfaceTextureListener = null
            handler.post {
                device?.close()
                reader.close()
                surface?.release()
                thread.quitSafely()
            }
        }

        private fun size(): Size {
            val sizes = traits.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty()
            // The model uses a few hundred pixels; the largest 4:3 size up to 1280 x 960 is plenty.
            return sizes.filter { it.width * 3 == it.height * 4 && it.width <= 1280 }.maxByOrNull { it.width }
                ?: sizes.minByOrNull { Math.abs(it.width - 1280) } ?: Size(640, 480)
        }

        @SuppressLint("MissingPermission") // requested before; without the permission this throws
        private fun connect() {
            if (isEnded || device != null) return
            turn()
            try {
                manager.openCamera(
                    id,
                    object : CameraDevice.StateCallback() {
                        override fun onOpened(camera: CameraDevice) {
                            device = camera
                            if (isEnded) camera.close() else start(camera)
                        }

                        override fun onDisconnected(camera: CameraDevice) = failed(CameraProblem.IN_USE)

                        override fun onError(camera: CameraDevice, error: Int) {
                            val isInUse = error == ERROR_CAMERA_IN_USE || error == ERROR_MAX_CAMERAS_IN_USE
                            failed(if (isInUse) CameraProblem.IN_USE else CameraProblem.FAILED)
                        }
                    },
                    handler,
                )
            } catch (_: CameraAccessException) {
                failed(CameraProblem.IN_USE)
            } catch (_: SecurityException) {
                failed(CameraProblem.FAILED)
            } catch (_: IllegalArgumentException) {
                failed(CameraProblem.FAILED)
            }
        }

        private fun start(camera: CameraDevice) {
            val shown = texture.surfaceTexture ?: return
            shown.setDefaultBufferSize(size.width, size.height)
            val preview = Surface(shown).also { surface = it }
            try {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(preview)
                request.addTarget(reader.surface)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                camera.createCaptureSession(
                    listOf(preview, reader.surface),
                    object : CameraCaptureSession.StateCallback() {
                        override fun onConfigured(session: CameraCaptureSession) {
                            try {
                                if (!isEnded) session.setRepeatingRequest(request.build(), null, handler)
                            } catch (_: CameraAccessException) {
                                failed(CameraProblem.FAILED)
                            } catch (_: IllegalStateException) { // closed meanwhile
                            }
                        }

                        override fun onConfigureFailed(session: CameraCaptureSession) = failed(CameraProblem.FAILED)
                    },
                    handler,
                )
            } catch (_: CameraAccessException) {
                failed(CameraProblem.FAILED)
            } catch (_: IllegalStateException) { // closed meanwhile
            }
        }

        private fun failed(problem: CameraProblem) {
            main.post {
                if (!isEnded) {
                    if (opened === this) close()
                    onProblem(problem)
                }
            }
        }

        private fun available(reader: ImageReader) {
            val image = try {
                reader.acquireLatestImage() ?: return
            } catch (_: IllegalStateException) { // closed meanwhile
                return
            }
            image.use { if (!isEnded) onFrame(frame(it)) }
        }

        private fun frame(image: Image): Frame {
            val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
            return Frame(image.width, image.height, y, u, v, rotation)
        }

        /** Rotates preview and frames with the display. */
        private fun turn() {
            val display = context.getSystemService(WindowManager::class.java).defaultDisplay.rotation
            val turned = display * 90
            val sensor = traits.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 90
            val isFront = facing(id) == CameraCharacteristics.LENS_FACING_FRONT
            rotation = if (isFront) (sensor + turned) % 360 else (sensor - turned + 360) % 360
            val width = texture.width.toFloat()
            val height = texture.height.toFloat()
            if (width == 0f || height == 0f) return
            // The texture is upright for the phone's natural orientation and stretched to the view: undo that, then rotate it.
            val matrix = Matrix()
            val isAcross = sensor % 180 == 90
            val long = maxOf(size.width, size.height).toFloat()
            val short = minOf(size.width, size.height).toFloat()
            val buffer = RectF(0f, 0f, if (isAcross) short else long, if (isAcross) long else short)
            buffer.offset(width / 2 - buffer.centerX(), height / 2 - buffer.centerY())
            matrix.setRectToRect(RectF(0f, 0f, width, height), buffer, Matrix.ScaleToFit.FILL)
            val isTurnedAcross = turned % 180 == 90
            val across = if (isTurnedAcross) buffer.height() else buffer.width()
            val down = if (isTurnedAcross) buffer.width() else buffer.height()
            val scale = maxOf(width / across, height / down)
            matrix.postScale(scale, scale, width / 2, height / 2)
            matrix.postRotate(-turned.toFloat(), width / 2, height / 2)
            texture.setTransform(matrix)
        }
    }
}
