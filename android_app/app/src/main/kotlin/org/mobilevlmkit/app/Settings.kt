package org.mobilevlmkit.app

import android.content.Context
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter

/** The user's settings, saved between starts. Questions and pictures are not saved. */
class Settings(private val context: Context) {
    private val stored = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    /** Folder name of the selected bundle. */
    var bundle: String?
        get() = stored.getString("bundle", null)
        set(value) = stored.edit().putString("bundle", value).apply()

    var showsStats: Boolean
        get() = stored.getBoolean("shows_stats", true)
        set(value) = stored.edit().putBoolean("shows_stats", value).apply()

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
        get() = stored.getBoolean("has_imported_packed", false)
        set(value) = stored.edit().putBoolean("has_imported_packed", value).apply()

    /** Set while native code runs, and written synchronously: if it is set at start, the app ended during native code. */
    var isEngineBusy: Boolean
        get() = stored.getBoolean("engine_busy", false)
        set(value) {
            stored.edit().putBoolean("engine_busy", value).commit()
        }

    private fun parsed(text: String): List<String>? = try {
        ((JsonReader.read(text.toByteArray()) as? Map<*, *>)?.get("presets") as? List<*>)?.filterIsInstance<String>()
    } catch (_: JsonException) {
        null
    }
}
