package org.mobilevlmkit.app

import android.content.Context
import org.mobilevlmkit.core.json.JsonException
import org.mobilevlmkit.core.json.JsonReader
import org.mobilevlmkit.core.json.JsonWriter

/** What the user chose; kept between starts. Questions asked and pictures are not. */
class Settings(private val context: Context) {
    private val stored = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    /** Folder name of the bundle in use. */
    var bundle: String?
        get() = stored.getString("bundle", null)
        set(value) = stored.edit().putString("bundle", value).apply()

    var showsStats: Boolean
        get() = stored.getBoolean("shows_stats", true)
        set(value) = stored.edit().putBoolean("shows_stats", value).apply()

    /** The standing question of live mode. */
    var liveQuestion: String
        get() = stored.getString("live_question", null) ?: context.getString(R.string.live_question_default)
        set(value) = stored.edit().putString("live_question", value).apply()

    /** Questions on buttons; the language's own until the user changes them. */
    var presets: List<String>
        get() = stored.getString("presets", null)?.let(::parsed) ?: context.resources.getStringArray(R.array.presets_default).asList()
        set(value) = stored.edit().putString("presets", JsonWriter.write(mapOf("presets" to value))).apply()

    /** Forgets edited presets. */
    fun resetPresets() = stored.edit().remove("presets").apply()

    /** Whether the bundle packed into the app was imported once: if the user deletes it, it stays away. */
    var hasImportedPacked: Boolean
        get() = stored.getBoolean("has_imported_packed", false)
        set(value) = stored.edit().putBoolean("has_imported_packed", value).apply()

    /** Set while native code runs, and written at once: if it is set at start, the app ended in the midst of it. */
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
