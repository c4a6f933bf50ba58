package org.mobilevlmkit.app

import android.view.View
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.pixels.Plane
import org.mobilevlmkit.core.pixels.Yuv420

/**
 * A frame of the camera (YUV_420_888), valid during the call that gives it.
 *
 * @property rotation clockwise degrees by which it must be turned to stand upright on the screen
 */
class Frame(val width: Int, val height: Int, val y: Plane, val u: Plane, val v: Plane, val rotation: Int) {
    /** A picture of its own, which the next frame doesn't change. */
    fun picture(): ArrayPicture = Yuv420().picture(width, height, y, u, v, rotation)
}

/** Why there is no camera picture. */
enum class CameraProblem { NO_CAMERA, IN_USE, FAILED }

/** A camera with its preview: the phone's, or a test's. All calls come from the main thread. */
interface Camera {
    /** Shows what the camera sees while it is open. */
    val preview: View

    /**
     * Opens the camera; [onFrame] is given frames one after another on a thread of the camera's, [onProblem] comes on the main thread and
     * ends it.
     */
    fun open(onFrame: (Frame) -> Unit, onProblem: (CameraProblem) -> Unit)

    /** Closes it; no frame comes after this. */
    fun close()
}
