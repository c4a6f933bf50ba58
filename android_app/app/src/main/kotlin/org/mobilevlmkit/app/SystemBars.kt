package org.mobilevlmkit.app

import android.app.Activity
import android.content.res.Configuration
import android.graphics.Rect
import android.os.Build
import android.view.View
import android.view.WindowInsets
import android.view.WindowInsetsController

/** Draws the app below the system's bars, edge to edge, on every version as the newest ones demand it. */
@Suppress("DEPRECATION") // what replaces these calls came with API 30
object SystemBars {
    private const val LIGHT_STATUS = WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS
    private const val LIGHT_NAVIGATION = WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS
    private const val LAYOUT =
        View.SYSTEM_UI_FLAG_LAYOUT_STABLE or View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN or View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION

    /** What the bars, the display's cutout and the keyboard cover at each side, in pixels. */
    fun insetsOf(insets: WindowInsets): Rect {
        if (Build.VERSION.SDK_INT < 30) {
            return insets.run { Rect(systemWindowInsetLeft, systemWindowInsetTop, systemWindowInsetRight, systemWindowInsetBottom) }
        }
        val types = WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout() or WindowInsets.Type.ime()
        return insets.getInsets(types).run { Rect(left, top, right, bottom) }
    }

    /** Lays [activity] out below the bars. The icons of each are white over [ImageEdges] and at night, else dark. */
    fun apply(activity: Activity, images: ImageEdges) {
        val mode = activity.resources.configuration.uiMode and Configuration.UI_MODE_NIGHT_MASK
        val isDay = mode != Configuration.UI_MODE_NIGHT_YES
        val (above, below) = (isDay && !images.above) to (isDay && !images.below)
        if (Build.VERSION.SDK_INT < 30) {
            activity.window.decorView.systemUiVisibility = LAYOUT or
                (if (above) View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR else 0) or (if (below) View.SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR else 0)
        } else {
            activity.window.setDecorFitsSystemWindows(false)
            val light = (if (above) LIGHT_STATUS else 0) or (if (below) LIGHT_NAVIGATION else 0)
            activity.window.insetsController?.setSystemBarsAppearance(light, LIGHT_STATUS or LIGHT_NAVIGATION)
        }
    }
}

/** Whether a screen's upper and lower edges, where the system's bars are, show an image instead of the background. */
data class ImageEdges(val above: Boolean = false, val below: Boolean = false)
