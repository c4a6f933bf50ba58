package org.mobilevlmkit.app

import android.content.Context
import android.view.accessibility.AccessibilityManager
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter

/** How many conversations are kept. */
enum class Keep(val most: Int, val label: Int) {
    OFF(0, R.string.keep_off),
    LAST_10(10, R.string.keep_ten),
    LAST_50(50, R.string.keep_fifty),
    ALL(Int.MAX_VALUE, R.string.keep_all),
}

/** The user's settings, saved between starts. */
class Settings(private val context: Context) {
    private val stored = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    /** What holds on this phone only, and isn't transferred to a new one, which has no models yet. */
    private val here = context.getSharedPreferences("this_phone", Context.MODE_PRIVATE)

    /** Folder name of the selected bundle. */
    var bundle: String?
        get() = here.getString("bundle", null)
        set(value) = here.edit().putString("bundle", value).apply()

    /** Whether the details of answers are open. */
    var showsDetails: Boolean
        get() = stored.getBoolean("shows_details", false)
        set(value) = stored.edit().putBoolean("shows_details", value).apply()

    /** Whether the app opens in live mode. */
    var opensLive: Boolean
        get() = stored.getBoolean("opens_live", false)
        set(value) = stored.edit().putBoolean("opens_live", value).apply()

    /** Whether short sounds tell what happens; at first, whether a screen reader is on. */
    var playsSounds: Boolean
        get() = stored.getBoolean("plays_sounds", context.getSystemService(AccessibilityManager::class.java).isTouchExplorationEnabled)
        set(value) = stored.edit().putBoolean("plays_sounds", value).apply()

    var keep: Keep
        get() = Keep.values().firstOrNull { it.name == stored.getString("keep", null) } ?: Keep.OFF
        set(value) = stored.edit().putString("keep", value.name).apply()

    /** The question of live mode. */
    var liveQuestion: String
        get() = stored.getString("live_question", null) ?: context.getString(R.string.live_question_default)
        set(value) = stored.edit().putString("live_question", value).apply()

    /** Suggested questions; the language's defaults until the user edits them. */
    var presets: List<String>
        get() = stored.getString("presets", null)?.let(::parsed) ?: context.resources.getStringArray(R.array.presets_default).asList()
        set(value) = stored.edit().putString("presets", JsonWriter.write(mapOf("presets" to value))).apply()

    /** Restores the default presets. */
    fun resetPresets() = stored.edit().remove("presets").apply()

    /** Whether the packed bundle was already imported; if the user deletes it, it isn't imported again automatically. */
    var hasImportedPacked: Boolean
        get() = here.getBoolean("has_imported_packed", false)
        set(value) = here.edit().putBoolean("has_imported_packed", value).apply()

    /** Set while native code runs, and written synchronously: if it is set at start, the app ended during native code. */
    var isEngineBusy: Boolean
        get() = here.getBoolean("engine_busy", false)
        set(value) {
            here.edit().putBoolean("engine_busy", value).commit()
        }

    private fun parsed(text: String): List<String>? = try {
        ((JsonReader.read(text.toByteArray()) as? Map<*, *>)?.get("presets") as? List<*>)?.filterIsInstance<String>()
    } catch (_: JsonException) {
        null
    }
}
