package org.mobilevlmkit.app

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/** Lets the app chosen in the share sheet read one capture, or one picture, and nothing else. */
class CaptureProvider : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri) = if (uri.path.orEmpty().endsWith(".png")) PICTURE else ZIP

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r") throw FileNotFoundException("got mode $mode, expected r")
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val file = file(uri)
        val columns = projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        return MatrixCursor(columns, 1).apply {
            val values = mapOf(OpenableColumns.DISPLAY_NAME to file.name, OpenableColumns.SIZE to file.length())
            addRow(columns.map { values[it] })
        }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = throw UnsupportedOperationException()
    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<String>?) =
        throw UnsupportedOperationException()
    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?) = throw UnsupportedOperationException()

    private fun file(uri: Uri): File {
        // Only a plain name is allowed, so that a path can't lead out of the folder.
        val name = uri.pathSegments.singleOrNull()?.takeIf { '/' !in it && it != ".." } ?: throw FileNotFoundException("$uri")
        return File(folder(checkNotNull(context)), name).takeIf { it.isFile } ?: throw FileNotFoundException("$uri")
    }

    companion object {
        private const val AUTHORITY = "org.mobilevlmkit.app.captures"
        const val ZIP = "application/zip"
        const val PICTURE = "image/png"

        fun folder(context: Context) = File(context.cacheDir, "captures").apply { mkdirs() }

        /** Opens the share sheet for the file [name], with a [text] if there is one. */
        fun share(context: Context, name: String, type: String, text: String? = null) {
            val uri = Uri.Builder().scheme("content").authority(AUTHORITY).appendPath(name).build()
            val send = Intent(Intent.ACTION_SEND).setType(type).putExtra(Intent.EXTRA_STREAM, uri)
            send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
            send.clipData = android.content.ClipData.newRawUri(name, uri)
            if (text != null) send.putExtra(Intent.EXTRA_TEXT, text)
            context.startActivity(Intent.createChooser(send, null))
        }
    }
}
