package org.mobilevlmkit.app

import android.content.ContentResolver
import android.net.Uri
import android.provider.OpenableColumns
import java.io.IOException
import java.io.InputStream

/** Files of other apps, which may be slow and may throw anything: not for the main thread. */
class Documents(private val resolver: ContentResolver) {
    /** The name of [uri] for the user; null if there is none. */
    fun nameOf(uri: Uri): String? = try {
        resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { found ->
            if (found.moveToFirst()) found.getString(0) else null
        }
    } catch (_: RuntimeException) {
        null
    } ?: uri.lastPathSegment

    /** @throws IOException it can't be opened. */
    fun open(uri: Uri): InputStream = resolver.openInputStream(uri) ?: throw IOException("no data")
}
