package org.mobilevlmkit.app

import android.view.View
import org.mobilevlmkit.core.camera.Viewfinder
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.pixels.Yuv420
import org.mobilevlmkit.core.pixels.cropped

/**
 * A camera frame (YUV_420_888), valid only during the callback.
 *
 * @property rotation clockwise rotation in degrees that makes it upright on the screen
 * @property viewfinder what shows the frames to the user
 */
class Frame(
    val width: Int,
    val height: Int,
    val y: Plane,
    val u: Plane,
    val v: Plane,
    val rotation: Int,
    private val viewfinder: Viewfinder,
) {
    /** A copy of what the user sees, which the next frame doesn't change. */
    fun picture(): ArrayPicture {
        val upright = Yuv420().picture(width, height, y, u, v, rotation)
        return upright.cropped(viewfinder.visible(upright.width, upright.height))
    }
}

/** Why the camera delivers no images. */
enum class CameraProblem { NO_CAMERA, IN_USE, FAILED }

/** What an open camera can do. */
data class CameraTraits(val hasTorch: Boolean = false, val canSwitch: Boolean = false, val maxZoom: Float = 1f)

/**
 * How the user has set the camera.
 *
 * @property zoom from 1 to [CameraTraits.maxZoom]
 * @property exposure from -1, as dark as the camera can, to 1
 * @property focus where to focus, as a point of the viewfinder from 0 to 1; null: wherever the camera sees fit
 */
data class CameraControls(
    val isFront: Boolean = false,
    val isTorchOn: Boolean = false,
    val zoom: Float = 1f,
    val exposure: Float = 0f,
    val focus: Pair<Float, Float>? = null,
)

/** What an open camera reports; all on the main thread except frames. */
interface CameraListener {
    /** Frames arrive one after another on a camera thread. */
    fun onFrame(frame: Frame)

    fun onTraits(traits: CameraTraits)

    /** It has ended. */
    fun onProblem(problem: CameraProblem)

    /** After a problem: it may be opened again, because another app no longer uses it, or after a while. */
    fun onAvailable()
}

/** A camera with its preview: the phone's, or a fake. All calls come from the main thread. */
interface Camera {
    /** Shows the camera's preview while it is open, filled. */
    val preview: View

    fun open(controls: CameraControls, listener: CameraListener)

    /** Applies [controls], except which camera it is. */
    fun adjust(controls: CameraControls)

    /** The screen was turned, perhaps by 180 degrees, which changes no view's size. */
    fun turned()

    /** Closes it; nothing is reported afterwards. */
    fun close()
}
