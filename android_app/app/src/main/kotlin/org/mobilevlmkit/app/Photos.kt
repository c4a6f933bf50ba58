package org.mobilevlmkit.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import android.net.Uri
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.pixels.Orientation
import org.mobilevlmkit.core.pixels.Picture
import java.io.File
import java.io.IOException
import java.io.InputStream

/** A decoded bitmap, turned upright and composited over [backdrop] as its rows are read, so that no second copy is needed. */
private class BitmapPicture(private val bitmap: Bitmap, private val orientation: Orientation, private val backdrop: Int) : Picture {
    override val width = if (orientation.transposes) bitmap.height else bitmap.width
    override val height = if (orientation.transposes) bitmap.width else bitmap.height
    private val isTransparent = bitmap.hasAlpha()

    override fun readRow(y: Int, into: IntArray, at: Int) {
        val line = if (orientation.reversesLines) height - 1 - y else y
        if (orientation.transposes) {
            bitmap.getPixels(into, at, 1, line, 0, 1, width)
        } else {
            bitmap.getPixels(into, at, width, 0, line, width, 1)
        }
        if (orientation.reversesPixels) into.reverse(at, at + width)
        if (isTransparent) ArrayPicture.compose(into, at, at + width, backdrop)
    }
}

/** Reads pictures from files and other apps, upright and opaque, and converts them to bitmaps for the screen. */
object Photos {
    /**
     * Larger pictures are halved until they fit: 50 MB, which leaves a part of a few hundred pixels, such as a line of small print, sharp
     * enough to be asked about alone.
     */
    private const val MAX_PIXELS = 4096L * 3072
    private const val SHOWN_SIDE = 1280

    /**
     * Reads the picture that the user chose.
     *
     * @param backdrop 0xRRGGBB behind transparent pixels
     * @throws PictureException it can't be read or isn't a picture.
     */
    fun read(resolver: ContentResolver, uri: Uri, backdrop: Int): Picture {
        val open = { resolver.openInputStream(uri) ?: throw IOException("no data") }
        return try {
            val exif = open().use { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL) }
            BitmapPicture(decode(open), Orientation.ofExif(exif), backdrop)
        } catch (error: IOException) {
            throw PictureException("picture: ${error.message}, expected a photo")
        } catch (error: RuntimeException) { // another app's provider may throw anything
            throw PictureException("picture: ${error.message ?: error.javaClass.simpleName}, expected a photo that this app can read")
        } catch (error: OutOfMemoryError) {
            throw PictureException("picture: got too many pixels for this phone, expected a smaller photo")
        }
    }

    /** Reads [file] without changes, for golden records. */
    fun read(file: File): Picture = BitmapPicture(decode { file.inputStream() }, Orientation.UPRIGHT, 0)

    /** Converts [picture] for the screen; its longer side has at most 1,280 pixels. */
    fun bitmap(picture: Picture): Bitmap {
        val every = (maxOf(picture.width, picture.height) + SHOWN_SIDE - 1) / SHOWN_SIDE
        val row = IntArray(picture.width)
        val width = (picture.width + every - 1) / every
        val height = (picture.height + every - 1) / every
        val shown = IntArray(width * height)
        for (y in 0 until height) {
            picture.readRow(y * every, row, 0)
            for (x in 0 until width) shown[y * width + x] = row[x * every] or OPAQUE
        }
        return Bitmap.createBitmap(shown, width, height, Bitmap.Config.ARGB_8888)
    }

    private fun decode(open: () -> InputStream): Bitmap {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open().use { BitmapFactory.decodeStream(it, null, options) }
        options.inSampleSize = 1
        val size = options.outWidth.toLong() * options.outHeight
        while (size / options.inSampleSize / options.inSampleSize > MAX_PIXELS) options.inSampleSize *= 2
        options.inJustDecodeBounds = false
        options.inPremultiplied = false
        return open().use { BitmapFactory.decodeStream(it, null, options) }
            ?: throw PictureException("picture: got no pixels, expected a photo")
    }

    private const val OPAQUE = 0xFF shl 24
}
