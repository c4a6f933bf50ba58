package org.mobilevlmkit.app

import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.PowerManager
import org.mobilevlmkit.core.live.PhoneCondition
import org.mobilevlmkit.core.live.Thermal
import org.mobilevlmkit.core.session.MemoryCheck

/** The phone's properties and current condition. */
class Phone(context: Context) {
    private val activities = context.getSystemService(ActivityManager::class.java)
    private val power = context.getSystemService(PowerManager::class.java)

    /** Thermal status and battery saver, for live mode. */
    fun condition(isInForeground: Boolean) = PhoneCondition(thermal(), power.isPowerSaveMode, isInForeground)

    fun thermal(): Thermal {
        if (Build.VERSION.SDK_INT < 29) return Thermal.NONE
        return Thermal.values().getOrElse(power.currentThermalStatus) { Thermal.NONE }
    }

    /** Whether the system may have ended the camera because of heat. */
    fun isHot() = thermal() >= Thermal.SEVERE

    /** Bytes that a model may use now. */
    fun availableMemory(): Long {
        val info = ActivityManager.MemoryInfo().also(activities::getMemoryInfo)
        return MemoryCheck.usable(info.availMem, info.threshold)
    }

    /** For captures: model, system, processor. */
    fun describe(): Map<String, Any?> = linkedMapOf(
        "manufacturer" to Build.MANUFACTURER,
        "model" to Build.MODEL,
        "android" to Build.VERSION.RELEASE,
        "api" to Build.VERSION.SDK_INT,
        "abi" to Build.SUPPORTED_ABIS.firstOrNull(),
        "hardware" to Build.HARDWARE,
    )
}
