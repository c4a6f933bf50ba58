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
import android.os.Looper
import android.util.Size
import android.view.Surface
import android.view.TextureView
import android.view.WindowManager
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.camera.Viewfinder
import org.mobilevlmkit.core.pixels.Plane

/**
 * A camera from [begin] to [end]: the one that faces away from the user, or towards, or the only one. One stream for the preview, one of
 * the same size for the app. The newest frame wins; a slow reader drops frames. Everything that may wait for the camera's service is
 * done on the camera's [thread].
 */
@Suppress("DEPRECATION") // the calls that replaced these came with API 28 and 30
internal class OpenCamera(
    private val context: Context,
    private val manager: CameraManager,
    private val texture: TextureView,
    private val thread: Handler,
    private val listener: CameraListener,
    controls: CameraControls,
) {
    private val main = Handler(Looper.getMainLooper())

    @Volatile
    private var isEnded = false

    /** How frames are turned upright. */
    @Volatile
    private var rotation = 0

    @Volatile
    private var viewfinder = Viewfinder(0, 0)

    @Volatile
    private var lens: Lens? = null

    // On the camera's thread only.
    private var controls = controls
    private var isConnecting = false
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var reader: ImageReader? = null
    private var surface: Surface? = null

    /** A camera, and the size of its frames. */
    private class Lens(val id: String, val traits: CameraCharacteristics, val size: Size) {
        val isFront = traits.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT
        val sensor = traits.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 90
    }

    fun begin() {
        texture.surfaceTextureListener = object : TextureView.SurfaceTextureListener {
            override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) {
                turn()
                onThread(::connect)
            }

            override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = turn()
            override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean = true
            override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit
        }
        onThread {
            choose()
            connect()
        }
    }

    fun end() {
        isEnded = true
        texture.surfaceTextureListener = null
        // A device that is still opening is closed once it is open.
        thread.post { release() }
    }

    fun adjust(new: CameraControls) = onThread {
        val isFocusNew = new.focus != controls.focus && new.focus != null
        controls = new
        apply(isFocusNew)
    }

    /** Does [work] on the camera's thread; whatever the service throws, such as for a surface that is gone, is a failed camera. */
    private fun onThread(work: () -> Unit) {
        thread.post {
            if (isEnded) return@post
            try {
                work()
            } catch (error: CameraAccessException) {
                val isInUse =
                    error.reason == CameraAccessException.CAMERA_IN_USE || error.reason == CameraAccessException.MAX_CAMERAS_IN_USE
                failed(if (isInUse) CameraProblem.IN_USE else CameraProblem.FAILED)
            } catch (_: RuntimeException) {
                failed(CameraProblem.FAILED)
            }
        }
    }

    private fun failed(problem: CameraProblem) {
        main.post { if (!isEnded) listener.onProblem(problem) }
    }

    private fun release() {
        try {
            device?.close()
        } catch (_: RuntimeException) {
            // It is gone.
        }
        reader?.close()
        surface?.release()
        device = null
        session = null
        reader = null
        surface = null
    }

    private fun choose() {
        val found = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }
        fun facing(which: Int) = found.firstOrNull { (_, traits) -> traits.get(CameraCharacteristics.LENS_FACING) == which }
        val back = facing(CameraCharacteristics.LENS_FACING_BACK)
        val front = facing(CameraCharacteristics.LENS_FACING_FRONT)
        val (id, traits) = (if (controls.isFront) front else back) ?: found.firstOrNull() ?: return failed(CameraProblem.NO_CAMERA)
        val chosen = Lens(id, traits, sizeOf(traits))
        lens = chosen
        val can = CameraTraits(
            hasTorch = traits.get(CameraCharacteristics.FLASH_INFO_AVAILABLE) == true,
            canSwitch = back != null && front != null,
            maxZoom = traits.get(CameraCharacteristics.SCALER_AVAILABLE_MAX_DIGITAL_ZOOM) ?: 1f,
        )
        main.post {
            if (isEnded) return@post
            listener.onTraits(can)
            turn()
        }
    }

    private fun sizeOf(traits: CameraCharacteristics): Size {
        val sizes = traits.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty()
        // The model uses a few hundred pixels; the largest 4:3 size up to 1280 x 960 is plenty.
        return sizes.filter { it.width * 3 == it.height * 4 && it.width <= 1280 }.maxByOrNull { it.width }
            ?: sizes.minByOrNull { Math.abs(it.width - 1280) } ?: Size(640, 480)
    }

    @SuppressLint("MissingPermission") // requested before; without the permission this throws
    private fun connect() {
        val chosen = lens
        if (chosen == null || isConnecting || !texture.isAvailable) return
        isConnecting = true
        manager.openCamera(
            chosen.id,
            object : CameraDevice.StateCallback() {
                override fun onOpened(camera: CameraDevice) {
                    if (isEnded) return camera.close()
                    device = camera
                    onThread { start(camera, chosen) }
                }

                override fun onDisconnected(camera: CameraDevice) {
                    camera.close()
                    failed(CameraProblem.IN_USE)
                }

                override fun onError(camera: CameraDevice, error: Int) {
                    camera.close()
                    val isInUse = error == ERROR_CAMERA_IN_USE || error == ERROR_MAX_CAMERAS_IN_USE
                    failed(if (isInUse) CameraProblem.IN_USE else CameraProblem.FAILED)
                }
            },
            thread,
        )
    }

    private fun start(camera: CameraDevice, chosen: Lens) {
        val shown = texture.surfaceTexture ?: return failed(CameraProblem.FAILED)
        shown.setDefaultBufferSize(chosen.size.width, chosen.size.height)
        val preview = Surface(shown).also { surface = it }
        val frames = ImageReader.newInstance(chosen.size.width, chosen.size.height, ImageFormat.YUV_420_888, 2).also { reader = it }
        frames.setOnImageAvailableListener(::available, thread)
        camera.createCaptureSession(
            listOf(preview, frames.surface),
            object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(configured: CameraCaptureSession) = onThread {
                    session = configured
                    apply(isFocusNew = false)
                }

                override fun onConfigureFailed(session: CameraCaptureSession) = failed(CameraProblem.FAILED)
            },
            thread,
        )
    }

    /** Asks for images as [controls] say; to focus on a new point, the lens is moved once. */
    private fun apply(isFocusNew: Boolean) {
        val camera = device ?: return
        val active = session ?: return
        val chosen = lens ?: return
        val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
        request.addTarget(checkNotNull(surface))
        request.addTarget(checkNotNull(reader).surface)
        val sensorFocus = controls.focus?.let { (x, y) ->
            val isAcross = rotation % 180 == 90
            val (width, height) = if (isAcross) chosen.size.height to chosen.size.width else chosen.size.width to chosen.size.height
            viewfinder.onSensor(x, y, width, height, rotation, chosen.isFront)
        }
        CameraRequest(chosen.traits).fill(request, controls, sensorFocus)
        if (isFocusNew) {
            request.set(CaptureRequest.CONTROL_AF_TRIGGER, CaptureRequest.CONTROL_AF_TRIGGER_START)
            active.capture(request.build(), null, thread)
            request.set(CaptureRequest.CONTROL_AF_TRIGGER, CaptureRequest.CONTROL_AF_TRIGGER_IDLE)
        }
        active.setRepeatingRequest(request.build(), null, thread)
    }

    private fun available(reader: ImageReader) {
        val image = try {
            reader.acquireLatestImage() ?: return
        } catch (_: IllegalStateException) { // closed meanwhile
            return
        }
        try {
            image.use { if (!isEnded) listener.onFrame(frame(it)) }
        } catch (_: PictureException) { // a frame that isn't as announced: the next one comes
        } catch (_: IllegalStateException) { // closed meanwhile
        }
    }

    private fun frame(image: Image): Frame {
        val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        return Frame(image.width, image.height, y, u, v, rotation, viewfinder)
    }

    /** Turns preview and frames with the screen. On the main thread. */
    fun turn() {
        val chosen = lens ?: return
        val turned = context.getSystemService(WindowManager::class.java).defaultDisplay.rotation * 90
        rotation = Viewfinder.rotation(chosen.sensor, turned, chosen.isFront)
        viewfinder = Viewfinder(texture.width, texture.height)
        val width = texture.width.toFloat()
        val height = texture.height.toFloat()
        if (width == 0f || height == 0f) return
        // The texture is upright for the phone's natural orientation and stretched to the view: undo that, then rotate it.
        val matrix = Matrix()
        val isAcross = chosen.sensor % 180 == 90
        val long = maxOf(chosen.size.width, chosen.size.height).toFloat()
        val short = minOf(chosen.size.width, chosen.size.height).toFloat()
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
