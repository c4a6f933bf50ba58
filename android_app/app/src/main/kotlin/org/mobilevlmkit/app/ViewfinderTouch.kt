package org.mobilevlmkit.app

import android.graphics.Canvas
import android.graphics.Paint
import android.view.GestureDetector
import android.view.MotionEvent
import android.view.ScaleGestureDetector
import android.view.View

/** Touches on the viewfinder: a tap focuses, a pinch zooms, a drag up or down makes it brighter or darker. */
class ViewfinderTouch(ui: Ui, private val model: AppModel, private val onFocus: (Float, Float) -> Unit) : View.OnTouchListener {
    private var size = 1 to 1
    private val forget = Runnable { model.adjust { copy(focus = null) } } // the phone has moved since
    private val taps = GestureDetector(
        ui.context,
        object : GestureDetector.SimpleOnGestureListener() {
            override fun onDown(event: MotionEvent) = true

            override fun onSingleTapUp(event: MotionEvent): Boolean {
                onFocus(event.x, event.y)
                model.adjust { copy(focus = event.x / size.first to event.y / size.second, exposure = 0f) }
                return true
            }

            override fun onScroll(first: MotionEvent?, event: MotionEvent, across: Float, down: Float): Boolean {
                if (event.pointerCount == 1) model.adjust { copy(exposure = (exposure + 2 * down / size.second).coerceIn(-1f, 1f)) }
                return true
            }
        },
    )
    private val pinches = ScaleGestureDetector(
        ui.context,
        object : ScaleGestureDetector.SimpleOnScaleGestureListener() {
            override fun onScale(detector: ScaleGestureDetector): Boolean {
                model.adjust { copy(zoom = (zoom * detector.scaleFactor).coerceIn(1f, maxOf(1f, model.state.traits.maxZoom))) }
                return true
            }
        },
    )

    override fun onTouch(view: View, event: MotionEvent): Boolean {
        size = maxOf(1, view.width) to maxOf(1, view.height)
        pinches.onTouchEvent(event)
        taps.onTouchEvent(event)
        view.removeCallbacks(forget)
        view.postDelayed(forget, FOCUSED_MS)
        return true
    }

    private companion object {
        /** How long the camera stays focused where the user wanted it. */
        const val FOCUSED_MS = 5_000L
    }
}

/** A ring where the user focused, for a second. */
class FocusRing(ui: Ui) : View(ui.context) {
    private val radius = ui.dp(32).toFloat()
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeWidth = ui.dp(2).toFloat()
        color = ui.color(R.color.on_camera)
    }
    private var center: Pair<Float, Float>? = null
    private val hide = Runnable {
        center = null
        invalidate()
    }

    init {
        importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO
    }

    fun show(x: Float, y: Float) {
        center = x to y
        invalidate()
        removeCallbacks(hide)
        postDelayed(hide, SHOWN_MS)
    }

    override fun onDraw(canvas: Canvas) {
        center?.let { (x, y) -> canvas.drawCircle(x, y, radius, paint) }
    }

    private companion object {
        const val SHOWN_MS = 1_000L
    }
}
