package org.mobilevlmkit.app

import android.view.View
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.pixels.Yuv420

/**
 * A camera frame (YUV_420_888), valid only during the callback.
 *
 * @property rotation clockwise rotation in degrees that makes it upright on the screen
 */
class Frame(val width: Int, val height: Int, val y: Plane, val u: Plane, val v: Plane, val rotation: Int) {
    /** A copy as a picture, which the next frame doesn't change. */
    fun picture(): ArrayPicture = Yuv420().picture(width, height, y, u, v, rotation)
}

/** Why the camera delivers no images. */
enum class CameraProblem { NO_CAMERA, IN_USE, FAILED }

/** A camera with its preview: the phone's, or a fake. All calls come from the main thread. */
interface Camera {
    /** Shows the camera's preview while it is open. */
    val preview: View

    /**
     * Opens the camera; [onFrame] receives frames one after another on a camera thread, [onProblem] is called on the main thread and
     * ends it.
     */
    fun open(onFrame: (Frame) -> Unit, onProblem: (CameraProblem) -> Unit)

    /** Closes it; no frame is delivered afterwards. */
    fun close()
}
