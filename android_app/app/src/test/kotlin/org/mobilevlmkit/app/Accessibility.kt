package org.mobilevlmkit.app

import android.graphics.Bitmap
import android.graphics.Rect
import android.view.View
import android.widget.EditText
import android.widget.ImageView
import android.widget.TextView

/** What is wrong for someone who can't see well, or touch precisely. */
object Accessibility {
    private const val LEAST_CONTRAST = 4.5
    private const val SAMPLES = 15

    fun faults(stage: Stage): List<String> {
        val picture = stage.screenshot("last")
        val density = stage.activity.resources.displayMetrics.density
        return stage.views().filter { it.width > 0 && it.id != android.R.id.statusBarBackground }.flatMap { view ->
            listOfNotNull(
                "$view: no label".takeIf { (view.isClickable || view is ImageView) && labelOf(view).isBlank() && view.contentDescription == null && view.isImportantForAccessibility && view.parent !is View.OnClickListener && !isInPreview(view) },
                "${labelOf(view)}: ${view.width / density} x ${view.height / density} dp, expected 48".takeIf { view.isClickable && (view.width < 48 * density - 1 || view.height < 48 * density - 1) },
                (view as? TextView)?.let { contrast(it, picture) },
            )
        }
    }

    private fun isInPreview(view: View) = view is ImageView && (view.parent as? View)?.contentDescription != null

    private fun labelOf(view: View): String = "${view.contentDescription ?: (view as? TextView)?.text ?: ""}".ifEmpty { "${(view as? EditText)?.hint ?: ""}" }

    /** Against the colour that most of the view's upper edge has; what is scrolled away isn't judged. */
    private fun contrast(view: TextView, picture: Bitmap): String? {
        val seen = Rect()
        if (view.text.isBlank() || !view.isEnabled || !view.getGlobalVisibleRect(seen) || seen.height() < view.height || seen.width() < view.width) return null
        val ground = (1..SAMPLES).map { picture.getPixel(seen.left + seen.width() * it / (SAMPLES + 1), seen.top + 3) }.groupBy { it }.maxByOrNull { it.value.size }!!.key
        val ratio = ratio(luminance(view.currentTextColor), luminance(ground))
        return if (ratio < LEAST_CONTRAST) "${view.text}: contrast %.1f, expected $LEAST_CONTRAST".format(ratio) else null
    }

    private fun ratio(one: Double, other: Double) = (maxOf(one, other) + 0.05) / (minOf(one, other) + 0.05)

    private fun luminance(color: Int): Double {
        fun linear(shift: Int): Double = ((color shr shift and 255) / 255.0).let { if (it <= 0.03928) it / 12.92 else Math.pow((it + 0.055) / 1.055, 2.4) }
        return 0.2126 * linear(16) + 0.7152 * linear(8) + 0.0722 * linear(0)
    }
}
