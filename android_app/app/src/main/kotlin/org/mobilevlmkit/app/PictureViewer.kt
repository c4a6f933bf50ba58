package org.mobilevlmkit.app

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.Rect
import android.graphics.RectF
import android.view.Gravity
import android.view.MotionEvent
import android.view.View
import android.widget.FrameLayout
import android.widget.LinearLayout
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.core.camera.Crop
import org.mobilevlmkit.core.pixels.FittedPicture

/** The picture alone, to look at it closely and to choose the part to ask about. */
class PictureViewer(private val ui: Ui, private val model: AppModel) {
    private val picture: PartView = PartView(ui.context, ui.dp(2).toFloat(), ui.color(R.color.on_camera)) { ask.shown(it != null) }
    private val close = ui.cameraIcon(R.drawable.ic_close, ui.string(R.string.close)) { model.pictures.enlarge(false) }
    private val hint = ui.text(ui.string(R.string.drag_part), 15, R.color.on_camera).apply {
        gravity = Gravity.CENTER
        background = ui.filled(R.color.camera_chip, 18)
        setPadding(ui.dp(14), ui.dp(8), ui.dp(14), ui.dp(8))
    }
    private val ask: View = ui.button(ui.string(R.string.ask_part), isMain = true) { picture.part?.let(model.pictures::askAboutPart) }
    private val content = ui.column(
        ui.row(close, ui.space()),
        View(ui.context).apply { layoutParams = LinearLayout.LayoutParams(Ui.MATCH, 0, 1f) },
        hint,
        ask,
        gap = 12,
    )
    val view: View = FrameLayout(ui.context).apply {
        setBackgroundColor(ui.color(R.color.frame))
        isClickable = true // nothing below it is touched
        contentDescription = ui.string(R.string.picture_label)
        addView(picture, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(content, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }

    fun inset(covered: Rect) {
        val side = ui.dp(16)
        content.setPadding(covered.left + side, covered.top + side / 2, covered.right + side, covered.bottom + side)
    }

    fun render(state: UiState) {
        picture.show(state.picture.takeIf { state.isEnlarged }, state.pictureSize)
        ask.shown(picture.part != null)
    }
}

/** A picture in which a rectangle can be drawn; [onPart] receives the part of it, in pixels of [size]. */
@SuppressLint("ViewConstructor")
class PartView(context: Context, private val stroke: Float, color: Int, private val onPart: (Crop?) -> Unit) : View(context) {
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeWidth = stroke
        this.color = color
    }
    private val shade = Paint().apply { this.color = Color.argb(150, 0, 0, 0) }
    private val smooth = Paint(Paint.FILTER_BITMAP_FLAG)
    private var bitmap: Bitmap? = null
    private var size = 1 to 1
    private var drag: RectF? = null

    /** The chosen part; null if none is. */
    val part: Crop? get() = drag?.let { FittedPicture(width, height, size.first, size.second).part(it.left, it.top, it.right, it.bottom) }

    fun show(picture: Bitmap?, size: Pair<Int, Int>) {
        if (picture === bitmap) return
        bitmap = picture
        this.size = size
        drag = null
        invalidate()
    }

    @SuppressLint("ClickableViewAccessibility") // a part is shown, which screen readers can't
    override fun onTouchEvent(event: MotionEvent): Boolean {
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> drag = RectF(event.x, event.y, event.x, event.y)
            MotionEvent.ACTION_MOVE -> drag?.let {
                it.right = event.x
                it.bottom = event.y
            }
        }
        invalidate()
        onPart(part)
        return true
    }

    override fun onDraw(canvas: Canvas) {
        val shown = bitmap ?: return
        val place = FittedPicture(width, height, size.first, size.second).place
        canvas.drawBitmap(shown, null, Rect(place.left, place.top, place.left + place.width, place.top + place.height), smooth)
        val chosen = drag?.takeIf { part != null } ?: return
        // Whole pixels, so that no line is left between the shades.
        val left = Math.round(minOf(chosen.left, chosen.right)).toFloat()
        val right = Math.round(maxOf(chosen.left, chosen.right)).toFloat()
        val top = Math.round(minOf(chosen.top, chosen.bottom)).toFloat()
        val bottom = Math.round(maxOf(chosen.top, chosen.bottom)).toFloat()
        canvas.drawRect(0f, 0f, width.toFloat(), top, shade)
        canvas.drawRect(0f, bottom, width.toFloat(), height.toFloat(), shade)
        canvas.drawRect(0f, top, left, bottom, shade)
        canvas.drawRect(right, top, width.toFloat(), bottom, shade)
        canvas.drawRect(left, top, right, bottom, line)
    }
}
