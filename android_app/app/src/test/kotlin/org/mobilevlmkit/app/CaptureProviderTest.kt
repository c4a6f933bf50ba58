package org.mobilevlmkit.app

import android.content.ContentValues
import android.net.Uri
import android.provider.OpenableColumns
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.robolectric.Robolectric
import java.io.File
import java.io.FileNotFoundException

/** What another app can reach. */
class CaptureProviderTest : AppTestCase() {
    private val provider by lazy { Robolectric.setupContentProvider(CaptureProvider::class.java) }

    private fun uri(path: String): Uri = Uri.parse("content://org.mobilevlmkit.app.captures/$path")

    private fun capture() = File(CaptureProvider.folder(driver.app), "capture-1.zip").apply { writeText("zip") }

    @Test
    fun aCaptureIsReadWithItsNameAndSize() {
        val file = capture()
        val opened = provider.openFile(uri("capture-1.zip"), "r")
        val text = android.os.ParcelFileDescriptor.AutoCloseInputStream(opened).use { it.readBytes().toString(Charsets.UTF_8) }
        assertEquals("zip", text)
        provider.query(uri("capture-1.zip"), null, null, null, null).use { found ->
            found.moveToFirst()
            assertEquals(file.name, found.getString(found.getColumnIndexOrThrow(OpenableColumns.DISPLAY_NAME)))
            assertEquals(3L, found.getLong(found.getColumnIndexOrThrow(OpenableColumns.SIZE)))
        }
    }

    @Test
    fun nothingElseIsRead() {
        capture()
        File(driver.app.cacheDir, "picture.png").writeText("mine")
        File(CaptureProvider.folder(driver.app), "inner").mkdirs()
        File(CaptureProvider.folder(driver.app), "inner/secret.zip").writeText("mine")
        val paths = listOf(
            "", ".", "..", "inner", "inner/secret.zip", "../picture.png", "..%2Fpicture.png", "%2e%2e%2fpicture.png",
            "capture-1.zip/..%2F..%2Fpicture.png", "no-such.zip", "%2Fetc%2Fhostname",
        )
        for (path in paths) {
            assertThrows(path, FileNotFoundException::class.java) { provider.openFile(uri(path), "r") }
            assertThrows(path, FileNotFoundException::class.java) { provider.query(uri(path), null, null, null, null) }
        }
    }

    @Test
    fun nothingIsWritten() {
        val file = capture()
        for (mode in listOf("w", "rw", "rwt", "wa")) {
            assertThrows(mode, FileNotFoundException::class.java) { provider.openFile(uri("capture-1.zip"), mode) }
        }
        assertThrows(UnsupportedOperationException::class.java) { provider.insert(uri(""), ContentValues()) }
        assertThrows(UnsupportedOperationException::class.java) { provider.update(uri("capture-1.zip"), ContentValues(), null, null) }
        assertThrows(UnsupportedOperationException::class.java) { provider.delete(uri("capture-1.zip"), null, null) }
        assertEquals("zip", file.readText())
    }
}
