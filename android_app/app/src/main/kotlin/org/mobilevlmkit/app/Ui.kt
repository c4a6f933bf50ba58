package org.mobilevlmkit.app

import android.content.Context
import android.content.res.ColorStateList
import android.content.res.Configuration
import android.graphics.Typeface
import android.graphics.drawable.Drawable
import android.graphics.drawable.GradientDrawable
import android.graphics.drawable.RippleDrawable
import android.os.Build
import android.text.InputType
import android.util.TypedValue
import android.view.Gravity
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView

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
            setPadding(dp(14), dp(8), dp(14), dp(8))
            background = pressable(if (isMain) R.color.accent else R.color.surface)
            setOnClickListener { onClick() }
        }

    /** A button with a symbol instead of text. */
    fun sign(sign: CharSequence, description: CharSequence, onClick: () -> Unit) =
        button(sign, description, onClick = onClick).apply { setTextSize(TypedValue.COMPLEX_UNIT_SP, 24f) }

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

    /** Buttons side by side, wrapped to more lines if needed. */
    fun flow(vararg views: View, isCentered: Boolean = false) = FlowRow(context, dp(8), isCentered).apply { views.forEach(::addView) }

    fun card(vararg views: View, color: Int = R.color.surface) = column(*views, gap = 8).apply {
        background = filled(color)
        setPadding(dp(16), dp(14), dp(16), dp(14))
    }

    /** A scrolling screen with a back button and a limited line width. */
    fun page(title: CharSequence, onBack: (() -> Unit)?, vararg views: View): View {
        val head = if (onBack == null) heading(title) else row(sign("‹", string(R.string.back), onBack), heading(title), gap = 12)
        val content = column(head, *views, gap = 16).apply { setPadding(dp(20), dp(16), dp(20), dp(24)) }
        val side = maxOf(0, (context.resources.configuration.screenWidthDp - 640) / 2)
        return ScrollView(context).apply {
            isFillViewport = true
            setPadding(dp(side), 0, dp(side), 0)
            addView(content)
        }
    }

    fun filled(color: Int, radius: Int = 14): Drawable = GradientDrawable().apply {
        cornerRadius = dp(radius).toFloat()
        setColor(color(color))
    }

    fun pressable(color: Int, radius: Int = 14): Drawable =
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
        /** The minimum side of a touch target, in dp. */
        const val TOUCH = 48
        private const val UNUSABLE = 0.5f
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
    fun share(capture: String)
}
