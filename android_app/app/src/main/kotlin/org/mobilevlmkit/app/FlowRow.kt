package org.mobilevlmkit.app

import android.content.Context
import android.view.View
import android.view.ViewGroup

/** Views side by side, wrapped to as many lines as large fonts or another language need. */
class FlowRow(context: Context, private val gap: Int, private val isCentered: Boolean) : ViewGroup(context) {
    private class Line(val views: ArrayList<View> = ArrayList(), var width: Int = 0, var height: Int = 0)

    private var lines = emptyList<Line>()

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val room = MeasureSpec.getSize(widthMeasureSpec) - paddingLeft - paddingRight
        val found = ArrayList<Line>()
        for (index in 0 until childCount) {
            val view = getChildAt(index)
            if (view.visibility == View.GONE) continue
            view.measure(MeasureSpec.makeMeasureSpec(room, MeasureSpec.AT_MOST), MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED))
            if (found.isEmpty() || found.last().width + gap + view.measuredWidth > room) found.add(Line())
            val line = found.last()
            line.width += view.measuredWidth + if (line.views.isEmpty()) 0 else gap
            line.height = maxOf(line.height, view.measuredHeight)
            line.views.add(view)
        }
        lines = found
        val height = found.sumOf { it.height } + gap * maxOf(0, found.size - 1) + paddingTop + paddingBottom
        val width = (found.maxOfOrNull { it.width } ?: 0) + paddingLeft + paddingRight
        setMeasuredDimension(resolveSize(width, widthMeasureSpec), resolveSize(height, heightMeasureSpec))
    }

    override fun onLayout(changed: Boolean, left: Int, top: Int, right: Int, bottom: Int) {
        val room = right - left - paddingLeft - paddingRight
        var y = paddingTop
        for (line in lines) {
            var x = paddingLeft + if (isCentered) (room - line.width) / 2 else 0
            for (view in line.views) {
                val above = (line.height - view.measuredHeight) / 2
                view.layout(x, y + above, x + view.measuredWidth, y + above + view.measuredHeight)
                x += view.measuredWidth + gap
            }
            y += line.height + gap
        }
    }
}
