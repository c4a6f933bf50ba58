package org.mobilevlmkit.app

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Service
import android.content.Context
import android.content.Intent
import android.content.pm.ServiceInfo
import android.os.Build
import android.os.IBinder

/**
 * Keeps the app alive while a model is imported, also when the user leaves or the screen goes dark. The import itself is
 * [AppModel]'s. The user isn't asked to allow notifications; without them the system lists the app among those that are active.
 */
class ImportService : Service() {
    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        running = this
        val channel = NotificationChannel(CHANNEL, getString(R.string.import_channel), NotificationManager.IMPORTANCE_LOW)
        getSystemService(NotificationManager::class.java).createNotificationChannel(channel)
        val notification = Notification.Builder(this, CHANNEL)
            .setSmallIcon(R.drawable.ic_model)
            .setContentTitle(getString(R.string.import_channel))
            .setProgress(0, 0, true)
            .setOngoing(true)
            .setContentIntent(PendingIntent.getActivity(this, 0, Intent(this, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE))
            .build()
        try {
            if (Build.VERSION.SDK_INT >= 29) {
                startForeground(ID, notification, ServiceInfo.FOREGROUND_SERVICE_TYPE_DATA_SYNC)
            } else {
                startForeground(ID, notification)
            }
        } catch (_: IllegalStateException) {
            stopSelf() // the user has left meanwhile, or the limit for a day is reached: the import goes on as long as the app is let
        }
        if (!isImporting) stopSelf() // it ended before the service began
        return START_NOT_STICKY
    }

    /** The system's limit for a day is reached; the import goes on as long as the app is let. */
    override fun onTimeout(startId: Int, fgsType: Int) = stopSelf()

    override fun onDestroy() {
        running = null
        super.onDestroy()
    }

    /** For the main thread. */
    companion object {
        private const val CHANNEL = "import"
        private const val ID = 1
        private var running: ImportService? = null
        private var isImporting = false

        /** An import begins or ends. */
        fun follow(context: Context, isImporting: Boolean) {
            if (this.isImporting == isImporting) return
            this.isImporting = isImporting
            if (!isImporting) {
                running?.stopSelf()
                return
            }
            try {
                context.startForegroundService(Intent(context, ImportService::class.java))
            } catch (_: IllegalStateException) {
                // Begun in the background, where services may not start: the import goes on as long as the app is let.
            }
        }
    }
}
