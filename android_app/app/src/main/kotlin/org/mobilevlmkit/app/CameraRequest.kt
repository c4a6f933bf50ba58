package org.mobilevlmkit.app

import android.graphics.Rect
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CaptureRequest
import android.hardware.camera2.params.MeteringRectangle
import android.os.Build

/** Puts [CameraControls] into requests to a camera with these [traits]. */
internal class CameraRequest(private val traits: CameraCharacteristics) {
    private val sensor = traits.get(CameraCharacteristics.SENSOR_INFO_ACTIVE_ARRAY_SIZE) ?: Rect(0, 0, 0, 0)

    /** [focus] is a point of the sensor, 0 to 1. */
    fun fill(request: CaptureRequest.Builder, controls: CameraControls, focus: Pair<Float, Float>?) {
        if (controls.isTorchOn) request.set(CaptureRequest.FLASH_MODE, CaptureRequest.FLASH_MODE_TORCH)
        expose(request, controls.exposure)
        focus(request, focus, zoom(request, controls.zoom))
    }

    private fun expose(request: CaptureRequest.Builder, exposure: Float) {
        val range = traits.get(CameraCharacteristics.CONTROL_AE_COMPENSATION_RANGE) ?: return
        val steps = Math.round(if (exposure < 0) -exposure * range.lower else exposure * range.upper)
        request.set(CaptureRequest.CONTROL_AE_EXPOSURE_COMPENSATION, range.clamp(steps))
    }

    /** Returns the part of the sensor that positions are given in. */
    private fun zoom(request: CaptureRequest.Builder, zoom: Float): Rect {
        if (Build.VERSION.SDK_INT >= 30) {
            val range = traits.get(CameraCharacteristics.CONTROL_ZOOM_RATIO_RANGE)
            if (range != null) {
                request.set(CaptureRequest.CONTROL_ZOOM_RATIO, range.clamp(zoom))
                return sensor // positions are then those of the zoomed image
            }
        }
        val part = Rect(sensor)
        part.inset(((sensor.width() - sensor.width() / zoom) / 2).toInt(), ((sensor.height() - sensor.height() / zoom) / 2).toInt())
        request.set(CaptureRequest.SCALER_CROP_REGION, part)
        return part
    }

    private fun focus(request: CaptureRequest.Builder, focus: Pair<Float, Float>?, within: Rect) {
        val modes = traits.get(CameraCharacteristics.CONTROL_AF_AVAILABLE_MODES) ?: IntArray(0)
        val wanted =
            if (focus == null) CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE else CaptureRequest.CONTROL_AF_MODE_AUTO
        if (wanted in modes) request.set(CaptureRequest.CONTROL_AF_MODE, wanted)
        if (focus == null) return
        val side = minOf(within.width(), within.height()) / SPOT
        val left = (within.left + focus.first * within.width() - side / 2).toInt().coerceIn(
            within.left,
            maxOf(
                within.left,
                within.right - side,
            ),
        )
        val top = (within.top + focus.second * within.height() - side / 2).toInt().coerceIn(
            within.top,
            maxOf(
                within.top,
                within.bottom - side,
            ),
        )
        val spot = arrayOf(MeteringRectangle(left, top, side, side, MeteringRectangle.METERING_WEIGHT_MAX - 1))
        if ((traits.get(CameraCharacteristics.CONTROL_MAX_REGIONS_AF) ?: 0) > 0) request.set(CaptureRequest.CONTROL_AF_REGIONS, spot)
        if ((traits.get(CameraCharacteristics.CONTROL_MAX_REGIONS_AE) ?: 0) > 0) request.set(CaptureRequest.CONTROL_AE_REGIONS, spot)
    }

    private companion object {
        /** The spot's side is this part of the shorter side. */
        const val SPOT = 8
    }
}
