package org.mobilevlmkit.app

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.Rect
import android.graphics.RectF
import android.os.Bundle
import android.view.Gravity
import android.view.MotionEvent
import android.view.View
import android.view.accessibility.AccessibilityManager
import android.view.accessibility.AccessibilityNodeInfo
import android.view.accessibility.AccessibilityNodeInfo.AccessibilityAction
import android.widget.FrameLayout
import android.widget.LinearLayout
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.core.camera.Crop
import org.mobilevlmkit.core.pixels.FittedPicture

/** The picture alone, to look at it closely and to choose the part to ask about. */
class PictureViewer(private val ui: Ui, private val model: AppModel) {
    private val picture: PartView = PartView(ui.context, ui.dp(2).toFloat(), ui.color(R.color.on_camera), ::onPart)
    private val close = ui.cameraIcon(R.drawable.ic_close, ui.string(R.string.close)) { model.pictures.enlarge(false) }
    private val hint = ui.text(sp = 15, color = R.color.on_camera).apply {
        gravity = Gravity.CENTER
        accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
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
        addView(picture, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(content, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }

    fun inset(covered: Rect) {
        val side = ui.dp(16)
        content.setPadding(covered.left + side, covered.top + side / 2, covered.right + side, covered.bottom + side)
    }

    fun render(state: UiState) {
        picture.show(state.picture.takeIf { state.isEnlarged }, state.pictureSize)
        onPart(picture.named)
    }

    /** A part was chosen, by its name or by a finger, or none. */
    private fun onPart(named: NamedPart?) {
        val isBlind = ui.context.getSystemService(AccessibilityManager::class.java).isTouchExplorationEnabled
        ask.shown(picture.part != null)
        hint.say(
            when {
                named != null -> ui.string(R.string.part_chosen, ui.string(named.label))
                isBlind -> ui.string(R.string.part_actions)
                else -> ui.string(R.string.drag_part)
            },
        )
    }
}

/**
 * A picture in which a rectangle can be drawn, or a [NamedPart] chosen by a screen reader's actions.
 *
 * @param onPart is told the chosen part's name; null if it was drawn, or if none is chosen
 */
@SuppressLint("ViewConstructor")
class PartView(context: Context, private val stroke: Float, color: Int, private val onPart: (NamedPart?) -> Unit) : View(context) {
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

    /** The name of the chosen part; null if it has none. */
    var named: NamedPart? = null
        private set

    init {
        contentDescription = context.getString(R.string.picture_label)
        isFocusable = true
    }

    /** The chosen part; null if none is. */
    val part: Crop? get() = drag?.let { FittedPicture(width, height, size.first, size.second).part(it.left, it.top, it.right, it.bottom) }

    fun show(picture: Bitmap?, size: Pair<Int, Int>) {
        if (picture === bitmap) return
        bitmap = picture
        this.size = size
        drag = null
        named = null
        invalidate()
    }

    override fun onInitializeAccessibilityNodeInfo(info: AccessibilityNodeInfo) {
        super.onInitializeAccessibilityNodeInfo(info)
        for (part in NamedPart.values()) info.addAction(AccessibilityAction(part.label, context.getString(part.label)))
    }

    override fun performAccessibilityAction(action: Int, arguments: Bundle?): Boolean {
        val part = NamedPart.values().firstOrNull { it.label == action } ?: return super.performAccessibilityAction(action, arguments)
        val place = FittedPicture(width, height, size.first, size.second).place
        fun across(at: Float) = place.left + at * place.width
        fun down(at: Float) = place.top + at * place.height
        drag = RectF(across(part.left), down(part.top), across(part.right), down(part.bottom))
        named = part
        invalidate()
        onPart(part)
        return true
    }

    @SuppressLint("ClickableViewAccessibility") // screen readers choose a part by its name
    override fun onTouchEvent(event: MotionEvent): Boolean {
        named = null
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> drag = RectF(event.x, event.y, event.x, event.y)
            MotionEvent.ACTION_MOVE -> drag?.let {
                it.right = event.x
                it.bottom = event.y
            }
        }
        invalidate()
        onPart(null)
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
