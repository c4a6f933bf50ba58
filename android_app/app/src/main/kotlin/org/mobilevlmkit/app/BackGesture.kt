package org.mobilevlmkit.app

import android.app.Activity
import android.os.Build
import android.window.OnBackInvokedCallback
import android.window.OnBackInvokedDispatcher

/**
 * The back gesture from API 33 on: handled by the app while there is a way back in it, otherwise the system's, which shows what is
 * behind the app while the finger moves.
 */
class BackGesture(private val activity: Activity, private val onBack: () -> Unit) {
    internal var callback: Any? = null // typed so that older systems can load this class
        private set

    fun handle(isHandled: Boolean) {
        if (Build.VERSION.SDK_INT < 33 || isHandled == (callback != null)) return
        if (isHandled) {
            val new = OnBackInvokedCallback { onBack() }
            activity.onBackInvokedDispatcher.registerOnBackInvokedCallback(OnBackInvokedDispatcher.PRIORITY_DEFAULT, new)
            callback = new
        } else {
            activity.onBackInvokedDispatcher.unregisterOnBackInvokedCallback(callback as OnBackInvokedCallback)
            callback = null
        }
    }
}
