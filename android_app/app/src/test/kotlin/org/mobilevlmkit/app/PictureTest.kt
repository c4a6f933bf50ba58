package org.mobilevlmkit.app

import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Color
import android.media.ExifInterface
import android.net.Uri
import android.provider.MediaStore
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.session.Phase
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import java.io.File

/** Pictures from the camera, and from other apps. */
class PictureTest : AppTestCase() {
    private val uri = Uri.parse("content://photos/1")

    // --- the camera

    @Test
    fun aPictureIsEncodedAtOnce() {
        driver.aiming()
        assertTrue(driver.isSeen(R.string.phase_ready))
        driver.touch(R.string.shutter)
        driver.camera.frame()
        driver.idle()
        assertTrue(driver.isSeen(R.string.phase_looking))
        driver.dependencies.settle()
        assertEquals(1, driver.engine.pictures)
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        assertTrue(driver.isSeen(R.string.phase_seen))
        assertNull(driver.camera.onFrame) // closed while a picture is shown
    }

    @Test
    fun aNewPictureStartsOverAndCanBeUndone() {
        driver.seen()
        driver.ask("What is this?")
        driver.touch(R.string.new_picture)
        driver.touch(R.string.shutter)
        driver.camera.frame(20)
        driver.dependencies.settle()
        assertTrue(driver.state.session.turns.isEmpty())
        driver.touch(R.string.new_picture)
        driver.touch(R.string.undo_picture_label)
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        assertEquals(160, driver.state.picture?.width)
    }

    @Test
    fun undoRestoresTheConversation() {
        driver.seen()
        driver.ask("What is this?")
        driver.touch(R.string.new_picture)
        driver.touch(R.string.undo_picture_label)
        assertEquals(listOf("What is this?" to "yes"), driver.state.session.turns.map { it.question to it.answer })
    }

    @Test
    fun theBackButtonLeavesThePictureThenTheApp() {
        driver.seen()
        @Suppress("DEPRECATION")
        driver.activity.onBackPressed()
        driver.dependencies.settle()
        assertNull(driver.state.picture)
        assertFalse(driver.activity.isFinishing)
        @Suppress("DEPRECATION")
        driver.activity.onBackPressed()
        assertTrue(driver.activity.isFinishing)
    }

    @Test
    fun theCameraIsAskedForAndUsedOnceAllowed() {
        driver.push()
        driver.start()
        assertTrue(driver.isSeen(R.string.camera_ask))
        driver.touch(R.string.camera_allow)
        assertEquals(
            listOf(android.Manifest.permission.CAMERA),
            shadowOf(driver.activity).lastRequestedPermission.requestedPermissions.toList(),
        )
        driver.allowCamera()
        driver.activity.onRequestPermissionsResult(
            1,
            arrayOf(android.Manifest.permission.CAMERA),
            intArrayOf(PackageManager.PERMISSION_GRANTED),
        )
        driver.dependencies.settle()
        assertEquals(CameraState.OPEN, driver.state.camera)
    }

    @Test
    fun aDeniedCameraShowsTheWayBack() {
        driver.push()
        driver.start()
        driver.activity.onRequestPermissionsResult(
            1,
            arrayOf(android.Manifest.permission.CAMERA),
            intArrayOf(PackageManager.PERMISSION_DENIED),
        )
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.camera_denied))
        driver.touch(R.string.camera_settings)
        val next = shadowOf(driver.activity).nextStartedActivity
        assertEquals(android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS, next.action)
        assertEquals("package:${driver.app.packageName}", next.dataString)
        driver.allowCamera()
        driver.leave()
        driver.comeBack()
        assertEquals(CameraState.OPEN, driver.state.camera)
    }

    @Test
    fun aDeviceWithoutACameraPicksPhotos() {
        driver.aiming()
        driver.camera.onProblem!!(CameraProblem.NO_CAMERA)
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.camera_none))
        assertNull(driver.find(driver.string(R.string.shutter)))
        assertNull(driver.find(driver.string(R.string.live_label)))
        assertNull(driver.find(driver.string(R.string.camera_retry)))
        assertTrue(driver.find(driver.string(R.string.pick_photo_label)) != null)
    }

    @Test
    fun aPhoneThatListsNoCameraHasNone() {
        val problems = ArrayList<CameraProblem>()
        PhoneCamera(driver.app).open({}, problems::add)
        assertEquals(listOf(CameraProblem.NO_CAMERA), problems)
    }

    @Test
    fun aCameraInUseIsTriedAgainOnRequest() {
        driver.aiming()
        for ((problem, text) in listOf(CameraProblem.IN_USE to R.string.camera_in_use, CameraProblem.FAILED to R.string.camera_failed)) {
            driver.camera.onProblem!!(problem)
            driver.dependencies.settle()
            assertTrue(driver.isSeen(text))
            driver.touch(R.string.camera_retry)
            assertEquals(CameraState.OPEN, driver.state.camera)
            assertFalse(driver.isSeen(text))
        }
    }

    @Test
    fun theCameraIsClosedWhenTheAppIsLeft() {
        driver.aiming()
        assertTrue(driver.camera.onFrame != null)
        driver.leave()
        assertNull(driver.camera.onFrame)
        driver.comeBack()
        assertTrue(driver.camera.onFrame != null)
    }

    // --- photos

    private fun pick(photo: ByteArray) {
        driver.touch(R.string.pick_photo_label)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { photo.inputStream() }
        shadowOf(driver.activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun aPickedPhotoIsShownAndEncoded() {
        driver.aiming()
        driver.touch(R.string.pick_photo_label)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult.intent
        assertEquals(MediaStore.ACTION_PICK_IMAGES to "image/*", asked.action to asked.type)
        pick(Scenery.file.readBytes())
        assertTrue(driver.isSeen(R.string.picture_reading).also { assertEquals(true, driver.state.isReadingPicture) })
        driver.dependencies.settle()
        assertTrue(driver.state.picture!!.sameAs(Scenery.bitmap()))
        assertEquals(1, driver.engine.pictures)
        driver.ask("What is this?")
        assertEquals("yes", driver.state.session.turns.single().answer)
    }

    @Test
    @Config(sdk = [35])
    fun aPhoneWithoutAPhotoPickerIsAskedForADocument() {
        driver.aiming()
        shadowOf(driver.app).checkActivities(true)
        val documents = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        @Suppress("DEPRECATION")
        shadowOf(driver.app.packageManager).addResolveInfoForIntent(
            documents,
            android.content.pm.ResolveInfo().apply {
                activityInfo = android.content.pm.ActivityInfo().apply {
                    packageName = "files"
                    name = "Files"
                    applicationInfo = android.content.pm.ApplicationInfo()
                }
            },
        )
        driver.touch(R.string.pick_photo_label)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult.intent
        assertEquals(Intent.ACTION_OPEN_DOCUMENT to "image/*", asked.action to asked.type)
    }

    /** A photo of 40 x 20 pixels, red on the left and blue on the right, with an EXIF rotation of 90 degrees. */
    private fun turned(): ByteArray {
        val bitmap = Bitmap.createBitmap(40, 20, Bitmap.Config.ARGB_8888)
        for (y in 0 until 20) for (x in 0 until 40) bitmap.setPixel(x, y, if (x < 20) Color.RED else Color.BLUE)
        val file = File(driver.app.cacheDir, "turned.jpg")
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.JPEG, 100, it) }
        ExifInterface(file).apply { setAttribute(ExifInterface.TAG_ORIENTATION, "${ExifInterface.ORIENTATION_ROTATE_90}") }.saveAttributes()
        return file.readBytes()
    }

    @Test
    fun aPhotoIsRotatedByItsOrientation() {
        driver.aiming()
        pick(turned())
        driver.dependencies.settle()
        val picture = checkNotNull(driver.state.picture)
        assertEquals(20 to 40, picture.width to picture.height)
        val (top, bottom) = picture.getPixel(10, 5) to picture.getPixel(10, 35)
        assertTrue(Color.red(top) > 200 && Color.blue(top) < 60)
        assertTrue(Color.blue(bottom) > 200 && Color.red(bottom) < 60)
    }

    @Test
    fun anUnreadablePhotoIsReported() {
        driver.aiming()
        pick("no picture".toByteArray())
        driver.dependencies.settle()
        assertTrue(driver.texts(), driver.isSeen(R.string.picture_failed))
        assertTrue(driver.texts(), "expected a photo" in driver.texts())
        assertNull(driver.state.picture)
        assertEquals(0, driver.engine.pictures)
        pick(Scenery.file.readBytes())
        driver.dependencies.settle()
        assertFalse(driver.isSeen(R.string.picture_failed))
        assertTrue(driver.state.picture != null)
    }

    @Test
    fun aPhotoThatComesAfterANewerPictureIsDropped() {
        driver.aiming()
        pick(Scenery.file.readBytes())
        driver.touchWithoutSettling(R.string.shutter)
        driver.camera.frame(20)
        driver.dependencies.settle()
        assertEquals(160, driver.state.picture?.width)
    }

    private fun AppDriver.touchWithoutSettling(label: Int) = press(string(label)).also { idle() }
}
