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
    private const val LIGHT = WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS or WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS
    private const val LAYOUT =
        View.SYSTEM_UI_FLAG_LAYOUT_STABLE or View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN or View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION
    private const val OLD_LIGHT = View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR or View.SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR

    /** What the bars, the display's cutout and the keyboard cover at each side, in pixels. */
    fun insetsOf(insets: WindowInsets): Rect {
        if (Build.VERSION.SDK_INT < 30) {
            return insets.run { Rect(systemWindowInsetLeft, systemWindowInsetTop, systemWindowInsetRight, systemWindowInsetBottom) }
        }
        val types = WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout() or WindowInsets.Type.ime()
        return insets.getInsets(types).run { Rect(left, top, right, bottom) }
    }

    /** Lays [activity] out below the bars, whose icons are white if [isOverCamera] or at night, else dark. */
    fun apply(activity: Activity, isOverCamera: Boolean) {
        val mode = activity.resources.configuration.uiMode and Configuration.UI_MODE_NIGHT_MASK
        val isLight = !isOverCamera && mode != Configuration.UI_MODE_NIGHT_YES
        if (Build.VERSION.SDK_INT < 30) {
            activity.window.decorView.systemUiVisibility = LAYOUT or if (isLight) OLD_LIGHT else 0
        } else {
            activity.window.setDecorFitsSystemWindows(false)
            activity.window.insetsController?.setSystemBarsAppearance(if (isLight) LIGHT else 0, LIGHT)
        }
    }
}
