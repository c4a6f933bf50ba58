package org.mobilevlmkit.app

import android.content.Context
import android.content.res.ColorStateList
import android.content.res.Configuration
import android.graphics.Rect
import android.graphics.Typeface
import android.graphics.drawable.Drawable
import android.graphics.drawable.GradientDrawable
import android.graphics.drawable.LayerDrawable
import android.graphics.drawable.RippleDrawable
import android.os.Build
import android.text.InputType
import android.util.TypedValue
import android.view.Gravity
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.ImageButton
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import org.mobilevlmkit.core.session.ChatTurn

/** The screens' building blocks: large enough to touch, scaling with the font, in the theme's colors. */
class Ui(val context: Context) {
    val isWide: Boolean
        get() = context.resources.configuration.let { it.orientation == Configuration.ORIENTATION_LANDSCAPE || it.screenWidthDp >= 720 }

    fun dp(value: Int): Int = (value * context.resources.displayMetrics.density + 0.5f).toInt()

    fun string(id: Int, vararg values: Any): String = context.getString(id, *values)

    fun color(id: Int): Int = context.getColor(id)

    fun text(value: CharSequence = "", sp: Int = 16, color: Int = R.color.text) = TextView(context).apply {
        text = value
        setTextColor(color(color))
        setTextSize(TypedValue.COMPLEX_UNIT_SP, sp.toFloat())
        setLineSpacing(0f, 1.15f)
    }

    fun heading(value: CharSequence, sp: Int = 24) = text(value, sp).apply {
        typeface = Typeface.create(Typeface.DEFAULT, Typeface.BOLD)
        if (Build.VERSION.SDK_INT >= 28) isAccessibilityHeading = true
    }

    /** A status that screen readers announce when it changes. */
    fun status(sp: Int = 14) = text(sp = sp, color = R.color.text_soft).apply {
        accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
    }

    fun button(label: CharSequence, description: CharSequence? = null, isMain: Boolean = false, onClick: () -> Unit) =
        Button(context).apply {
            text = label
            contentDescription = description
            isAllCaps = false
            stateListAnimator = null
            setTextSize(TypedValue.COMPLEX_UNIT_SP, 16f)
            setTextColor(color(if (isMain) R.color.on_accent else R.color.accent))
            minHeight = dp(TOUCH)
            minWidth = dp(TOUCH)
            minimumHeight = dp(TOUCH)
            minimumWidth = dp(TOUCH)
            setPadding(dp(18), dp(8), dp(18), dp(8))
            background = if (isMain) pressable(R.color.accent, TOUCH / 2) else outlined(TOUCH / 2)
            setOnClickListener { onClick() }
        }

    /** A round button with a drawn symbol instead of text. */
    fun icon(drawable: Int, description: CharSequence, color: Int, ground: Int = R.color.clear, onClick: (View) -> Unit) =
        ImageButton(context).apply {
            setImageResource(drawable)
            contentDescription = description
            imageTintList = ColorStateList.valueOf(color(color))
            background = pressable(ground, TOUCH / 2)
            scaleType = ImageView.ScaleType.CENTER
            minimumHeight = dp(TOUCH)
            minimumWidth = dp(TOUCH)
            setPadding(0, 0, 0, 0)
            layoutParams = LinearLayout.LayoutParams(dp(TOUCH), dp(TOUCH))
            tooltipText = description
            setOnClickListener(onClick)
        }

    /** As [icon], white on a dark disk, for places over an image. */
    fun cameraIcon(drawable: Int, description: CharSequence, onClick: (View) -> Unit) =
        icon(drawable, description, R.color.on_camera, R.color.camera_chip, onClick)

    /** The camera's round button; [drawShutter] draws it. */
    fun shutter(onClick: (View) -> Unit) = ImageButton(context).apply {
        background = null
        setPadding(0, 0, 0, 0)
        setOnClickListener(onClick)
    }

    /** A white disk in a ring for photos, a red one for live mode, and a red square while that runs. */
    fun drawShutter(button: ImageButton, isLive: Boolean, isRunning: Boolean) {
        val ring = GradientDrawable().apply {
            shape = GradientDrawable.OVAL
            setStroke(dp(4), color(R.color.on_camera))
            setColor(color(R.color.camera_shade))
        }
        val inner = GradientDrawable().apply {
            cornerRadius = dp(if (isRunning) 6 else 36).toFloat()
            setColor(color(if (isLive) R.color.live else R.color.on_camera))
        }
        val press = RippleDrawable(ColorStateList.valueOf(color(R.color.camera_chip)), LayerDrawable(arrayOf(ring, inner)), null)
        val inset = dp(if (isRunning) 24 else 8)
        (press.getDrawable(0) as LayerDrawable).setLayerInset(1, inset, inset, inset, inset)
        button.background = press
    }

    /** Darkens the image behind controls, towards the edge. */
    fun shade(isFromTop: Boolean): Drawable {
        val colors = intArrayOf(color(R.color.camera_edge), color(R.color.camera_edge), color(R.color.clear))
        return GradientDrawable(if (isFromTop) GradientDrawable.Orientation.TOP_BOTTOM else GradientDrawable.Orientation.BOTTOM_TOP, colors)
    }

    /** Text in a bubble that is as wide as it needs. */
    fun bubble(ground: Int, color: Int, sp: Int) = text(sp = sp, color = color).apply {
        background = filled(ground, 20)
        setPadding(dp(16), dp(10), dp(16), dp(10))
        maxWidth = dp(BUBBLE)
        setTextIsSelectable(false)
    }

    fun field(hint: CharSequence, lines: Int) = EditText(context).apply {
        this.hint = hint
        setTextColor(color(R.color.text))
        setHintTextColor(color(R.color.text_soft))
        setTextSize(TypedValue.COMPLEX_UNIT_SP, 16f)
        background = filled(R.color.surface)
        setPadding(dp(14), dp(10), dp(14), dp(10))
        minHeight = dp(TOUCH)
        minimumHeight = dp(TOUCH)
        maxLines = lines
        inputType = InputType.TYPE_CLASS_TEXT or InputType.TYPE_TEXT_FLAG_CAP_SENTENCES or InputType.TYPE_TEXT_FLAG_MULTI_LINE
    }

    fun column(vararg views: View, gap: Int = 0) = lined(LinearLayout.VERTICAL, views, gap)

    fun row(vararg views: View, gap: Int = 8) = lined(LinearLayout.HORIZONTAL, views, gap).apply { gravity = Gravity.CENTER_VERTICAL }

    /** Free space that pushes what follows in a row to its end. */
    fun space() = View(context).apply { layoutParams = LinearLayout.LayoutParams(0, 1, 1f) }

    /** Buttons side by side, wrapped to more lines if needed. */
    fun flow(vararg views: View, gap: Int = 8, isCentered: Boolean = false) =
        FlowRow(context, dp(gap), isCentered).apply { views.forEach(::addView) }

    fun card(vararg views: View, color: Int = R.color.surface) = column(*views, gap = 8).apply {
        background = filled(color)
        setPadding(dp(16), dp(14), dp(16), dp(14))
    }

    /** A card with its heading above it. */
    fun section(title: CharSequence, vararg views: View) = column(
        heading(title, 14).apply {
            setTextColor(color(R.color.accent))
            setPadding(dp(16), dp(4), dp(16), 0)
        },
        card(*views),
        gap = 8,
    )

    /** A symbol on a disk, for what is told by the text beside it. */
    fun badge(drawable: Int) = ImageView(context).apply {
        setImageResource(drawable)
        imageTintList = ColorStateList.valueOf(color(R.color.on_bubble))
        background = filled(R.color.bubble, BADGE / 2)
        scaleType = ImageView.ScaleType.CENTER
        importantForAccessibility = View.IMPORTANT_FOR_ACCESSIBILITY_NO
        layoutParams = LinearLayout.LayoutParams(dp(BADGE), dp(BADGE))
    }

    /** A scrolling screen with a back button and a limited line width. */
    fun page(title: CharSequence, onBack: (() -> Unit)?, vararg views: View): View {
        val name = heading(title, 28)
        val head = if (onBack == null) {
            name
        } else {
            val back = icon(R.drawable.ic_back, string(R.string.back), R.color.text) { onBack() }
            column(back, name, gap = 4).apply { back.translationX = -dp(ICON_EDGE).toFloat() } // the arrow, not its button, is aligned
        }
        val content = column(head, *views, gap = 16).apply { setPadding(dp(20), dp(16), dp(20), dp(24)) }
        return ScrollView(context).apply {
            isFillViewport = true
            isVerticalScrollBarEnabled = false
            clipToPadding = false
            addView(content)
        }
    }

    fun filled(color: Int, radius: Int = 20): Drawable = GradientDrawable().apply {
        cornerRadius = dp(radius).toFloat()
        setColor(color(color))
    }

    /** An outline without a ground. */
    fun outlined(radius: Int): Drawable {
        val line = GradientDrawable().apply {
            cornerRadius = dp(radius).toFloat()
            setStroke(dp(1), color(R.color.outline))
        }
        return RippleDrawable(ColorStateList.valueOf(color(R.color.text_soft) and 0x55FFFFFF), line, filled(R.color.text, radius))
    }

    fun pressable(color: Int, radius: Int = 20): Drawable =
        RippleDrawable(ColorStateList.valueOf(color(R.color.text_soft) and 0x55FFFFFF), filled(color, radius), filled(color, radius))

    private fun lined(orientation: Int, views: Array<out View>, gap: Int) = LinearLayout(context).apply {
        this.orientation = orientation
        // A gap as a divider, so that hidden views leave no gap.
        dividerDrawable = GradientDrawable().apply { setSize(dp(gap), dp(gap)) }
        showDividers = LinearLayout.SHOW_DIVIDER_MIDDLE
        val isColumn = orientation == LinearLayout.VERTICAL
        for (view in views) addView(view, view.layoutParams ?: ViewGroup.LayoutParams(if (isColumn) MATCH else WRAP, WRAP))
    }

    companion object {
        /** The width of a screen's lines on tablets, in dp. */
        const val LINE = 640

        /** The minimum side of a touch target, in dp. */
        const val TOUCH = 48
        private const val UNUSABLE = 0.5f
        private const val BADGE = 44

        /** Between the edge of a button and the symbol in it, in dp. */
        private const val ICON_EDGE = 12

        /** The maximum width of a bubble, in dp. */
        private const val BUBBLE = 520
        const val MATCH = ViewGroup.LayoutParams.MATCH_PARENT
        const val WRAP = ViewGroup.LayoutParams.WRAP_CONTENT

        /** Takes its [weight] of the space in a row or column. */
        fun <V : View> V.weighted(weight: Float = 1f, isColumn: Boolean = false) = apply {
            layoutParams = if (isColumn) LinearLayout.LayoutParams(MATCH, 0, weight) else LinearLayout.LayoutParams(0, WRAP, weight)
        }

        fun View.usable(isUsable: Boolean) {
            isEnabled = isUsable
            alpha = if (isUsable) 1f else UNUSABLE
        }

        /** Announced by screen readers once [isWhole], not word by word. */
        fun TextView.readOutWhen(isWhole: Boolean) {
            accessibilityLiveRegion = if (isWhole) View.ACCESSIBILITY_LIVE_REGION_POLITE else View.ACCESSIBILITY_LIVE_REGION_NONE
        }

        fun View.shown(isShown: Boolean) {
            visibility = if (isShown) View.VISIBLE else View.GONE
        }

        /** Sets the text only if it changed, because screen readers announce every set text. */
        fun TextView.say(value: CharSequence) {
            if (text.toString() != value.toString()) text = value
        }
    }
}

/** A screen: built once, then updated with each new state. */
interface ScreenView {
    val view: View

    fun render(state: UiState)

    /** Where [state] shows an image under the system's bars. */
    fun images(state: UiState) = ImageEdges()

    /** Keeps its contents from under what is [covered] at each side, in pixels, by the system's bars or the keyboard. */
    fun inset(covered: Rect) {
        val side = maxOf(0, (view.resources.configuration.screenWidthDp - Ui.LINE) / 2) * view.resources.displayMetrics.density
        view.setPadding(covered.left + side.toInt(), covered.top, covered.right + side.toInt(), covered.bottom)
    }
}

/** Actions that screens request from the activity. */
interface Actions {
    fun chooseBundle()
    fun pickPhoto()
    fun allowCamera()
    fun openSystemSettings()
    fun reopenCamera()

    /** Reads [text] aloud, or stops if it is being read. */
    fun speak(text: String)
    fun copy(text: String)

    /** Hands a question and its answer, as text, to another app. */
    fun share(turn: ChatTurn)

    /** Hands the picture and the conversation to another app. */
    fun shareConversation()
    fun shareCapture(name: String)

    /** Whether the phone recognizes speech. */
    val canDictate: Boolean

    /** Recognizes speech, and puts it into the question. */
    fun dictate()
}
