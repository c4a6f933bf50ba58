package org.mobilevlmkit.app

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.HorizontalScrollView
import android.widget.ImageView
import android.widget.ScrollView
import android.widget.TextView

/** Finds accessibility problems, including in views that are scrolled away. */
object Accessibility {
    private const val MIN_SIDE_DP = 48
    private const val MIN_CONTRAST = 4.5
    private const val MIN_CONTRAST_LARGE = 3.0
    private const val LARGE_DP = 24.0
    private const val LARGE_BOLD_DP = 18.66
    private val SYSTEM_BARS = setOf(android.R.id.statusBarBackground, android.R.id.navigationBarBackground)

    /** [isContrastJudged]: contrast depends on colors alone, and drawing takes time. */
    fun faults(driver: AppDriver, isContrastJudged: Boolean = true): List<String> = driver.windows().flatMap { window ->
        driver.layOut(window)
        val sheets = Sheets(driver, window)
        AppDriver.below(window).filter { it.isShown && it.width > 0 && it.id !in SYSTEM_BARS }.flatMap { view ->
            val contrast = (view as? TextView)?.takeIf { isContrastJudged }?.let { faint(it, sheets) }
            listOfNotNull(unlabeled(view), small(view), contrast) + Clipping.faults(view)
        }
    }

    fun labelOf(view: View): String {
        val label = "${view.contentDescription ?: (view as? TextView)?.text ?: ""}"
        return label.ifEmpty { "${(view as? EditText)?.hint ?: ""}" }
    }

    private fun unlabeled(view: View): String? {
        val needsLabel = view.isClickable || view is ImageView && (view.parent as View).contentDescription == null
        return "$view: no label".takeIf { needsLabel && view.isImportantForAccessibility && labelOf(view).isBlank() }
    }

    private fun small(view: View): String? {
        val density = view.resources.displayMetrics.density
        val isSmall = minOf(view.width, view.height) < MIN_SIDE_DP * density - 1
        if (!view.isClickable || !isSmall) return null
        return "${labelOf(view)}: ${view.width / density} x ${view.height / density} dp, expected $MIN_SIDE_DP"
    }

    /** Disabled views may have low contrast. */
    private fun faint(view: TextView, sheets: Sheets): String? {
        val isHint = view.text.isEmpty()
        val text = if (isHint) view.hint else view.text
        if (text.isNullOrBlank() || !view.isEnabled) return null
        val color = if (isHint) view.currentHintTextColor else view.currentTextColor
        val leastLarge = if (view.typeface?.isBold == true) LARGE_BOLD_DP else LARGE_DP
        val isLarge = view.textSize / view.resources.displayMetrics.density >= leastLarge
        val least = if (isLarge) MIN_CONTRAST_LARGE else MIN_CONTRAST
        val ratio = ratio(luminance(color), luminance(sheets.groundOf(view)))
        return if (ratio < least) "$text: contrast %.1f, expected $least".format(ratio) else null
    }

    private fun ratio(one: Double, other: Double) = (maxOf(one, other) + 0.05) / (minOf(one, other) + 0.05)

    private fun luminance(color: Int): Double {
        fun linear(shift: Int): Double {
            val value = (color shr shift and 255) / 255.0
            return if (value <= 0.03928) value / 12.92 else Math.pow((value + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * linear(16) + 0.7152 * linear(8) + 0.0722 * linear(0)
    }
}

/** The window and the full contents of each scrolling view, each drawn on its own bitmap. */
private class Sheets(private val driver: AppDriver, private val window: View) {
    private val drawn = HashMap<View, Bitmap>()

    /** The most frequent color along the upper edge of [view]. */
    fun groundOf(view: View): Int {
        val sheet = sheetOf(view)
        val bitmap = drawn.getOrPut(sheet) { draw(sheet) }
        val place = Rect(0, 0, view.width, view.height)
        if (view !== sheet) (sheet as ViewGroup).offsetDescendantRectToMyCoords(view, place)
        val y = (place.top + EDGE).coerceIn(0, bitmap.height - 1)
        return (1..SAMPLES).map { bitmap.getPixel((place.left + place.width() * it / (SAMPLES + 1)).coerceIn(0, bitmap.width - 1), y) }
            .groupBy { it }.maxByOrNull { it.value.size }!!.key
    }

    /** The most frequent color of a dialog. */
    private val ofDialog by lazy {
        val bitmap = drawn.getOrPut(window) { draw(window) }
        (0 until bitmap.height step 8).map { bitmap.getPixel(bitmap.width / 2, it) }
            .filter { it ushr 24 == 255 }.groupBy { it }.maxByOrNull { it.value.size }!!.key
    }

    private fun sheetOf(view: View): View {
        var sheet = view
        while (sheet !== window && !isScrolling(sheet.parent as View)) sheet = sheet.parent as View
        return sheet
    }

    private fun isScrolling(view: View) = view is ScrollView || view is HorizontalScrollView

    private fun draw(sheet: View): Bitmap {
        val bitmap = Bitmap.createBitmap(sheet.width, sheet.height, Bitmap.Config.ARGB_8888)
        if (window === driver.activity.window.decorView) {
            bitmap.eraseColor(driver.activity.getColor(R.color.background))
        } else if (sheet !== window) {
            bitmap.eraseColor(ofDialog)
        }
        sheet.draw(Canvas(bitmap))
        return bitmap
    }

    private companion object {
        const val SAMPLES = 15
        const val EDGE = 3
    }
}

/** Finds text and buttons clipped by their own bounds or by a parent. */
private object Clipping {
    fun faults(view: View): List<String> {
        if (view !is TextView && !view.isClickable) return emptyList()
        val label = Accessibility.labelOf(view)
        return listOfNotNull(
            "$label: reaches out of what it is in".takeIf { isOutside(view) },
            (view as? TextView)?.takeIf { it.text.isNotBlank() }?.let(::cut)?.let { "$label: $it" },
        )
    }

    private fun isOutside(view: View): Boolean {
        val parent = view.parent as? ViewGroup ?: return false
        if (parent is ScrollView || parent is HorizontalScrollView) return false
        return view.left < 0 || view.top < 0 || view.right > parent.width || view.bottom > parent.height || isOutside(parent)
    }

    private fun cut(view: TextView): String? {
        val layout = view.layout ?: return "not laid out"
        val lines = 0 until layout.lineCount
        val width = view.width - view.compoundPaddingLeft - view.compoundPaddingRight
        val height = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
        return when {
            view !is EditText && layout.height > height -> "its last line is cut off"
            lines.any { layout.getEllipsisCount(it) > 0 } -> "ends with …"
            lines.any { layout.getLineMax(it) > width + 1 } -> "a line is cut off"
            lines.drop(1).any { isInsideWord(layout.text, layout.getLineStart(it)) } -> "a word is broken"
            else -> null
        }
    }

    /** Long names such as file names may be broken across lines. */
    private fun isInsideWord(text: CharSequence, at: Int): Boolean {
        if (at >= text.length || !isLatin(text[at - 1]) || !isLatin(text[at])) return false
        val begin = text.take(at).indexOfLast { it.isWhitespace() } + 1
        return text.drop(begin).takeWhile { !it.isWhitespace() }.length <= LONGEST_WORD
    }

    private const val LONGEST_WORD = 16

    private fun isLatin(letter: Char) = letter.isLetter() && Character.UnicodeScript.of(letter.code) == Character.UnicodeScript.LATIN
}
