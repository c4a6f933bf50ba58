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
class PictureTest : OnStage() {
    private val uri = Uri.parse("content://photos/1")

    // --- the camera

    @Test
    fun aPictureIsEncodedAtOnce() {
        stage.aiming()
        assertTrue(stage.isSeen(R.string.phase_ready))
        stage.touch(R.string.shutter)
        stage.camera.frame()
        stage.idle()
        assertTrue(stage.isSeen(R.string.phase_looking))
        stage.parts.settle()
        assertEquals(1, stage.engine.pictures)
        assertEquals(Phase.SEEN, stage.state.session.phase)
        assertTrue(stage.isSeen(R.string.phase_seen))
        assertNull(stage.camera.onFrame) // closed while a picture is asked about
    }

    @Test
    fun aNewPictureBeginsAnewAndCanBeUndone() {
        stage.seen()
        stage.ask("What is this?")
        stage.touch(R.string.new_picture)
        stage.touch(R.string.shutter)
        stage.camera.frame(20)
        stage.parts.settle()
        assertTrue(stage.state.session.turns.isEmpty())
        stage.touch(R.string.new_picture)
        stage.touch(R.string.undo_picture_label)
        assertEquals(Phase.SEEN, stage.state.session.phase)
        assertEquals(160, stage.state.picture?.width)
    }

    @Test
    fun undoBringsTheConversationBack() {
        stage.seen()
        stage.ask("What is this?")
        stage.touch(R.string.new_picture)
        stage.touch(R.string.undo_picture_label)
        assertEquals(listOf("What is this?" to "yes"), stage.state.session.turns.map { it.question to it.answer })
    }

    @Test
    fun theBackButtonLeavesThePictureThenTheApp() {
        stage.seen()
        @Suppress("DEPRECATION")
        stage.activity.onBackPressed()
        stage.parts.settle()
        assertNull(stage.state.picture)
        assertFalse(stage.activity.isFinishing)
        @Suppress("DEPRECATION")
        stage.activity.onBackPressed()
        assertTrue(stage.activity.isFinishing)
    }

    @Test
    fun theCameraIsAskedForAndUsedOnceAllowed() {
        stage.push()
        stage.start()
        assertTrue(stage.isSeen(R.string.camera_ask))
        stage.touch(R.string.camera_allow)
        assertEquals(
            listOf(android.Manifest.permission.CAMERA),
            shadowOf(stage.activity).lastRequestedPermission.requestedPermissions.toList(),
        )
        stage.allowCamera()
        stage.activity.onRequestPermissionsResult(
            1,
            arrayOf(android.Manifest.permission.CAMERA),
            intArrayOf(PackageManager.PERMISSION_GRANTED),
        )
        stage.parts.settle()
        assertEquals(CameraState.OPEN, stage.state.camera)
    }

    @Test
    fun aDeniedCameraShowsTheWayBack() {
        stage.push()
        stage.start()
        stage.activity.onRequestPermissionsResult(
            1,
            arrayOf(android.Manifest.permission.CAMERA),
            intArrayOf(PackageManager.PERMISSION_DENIED),
        )
        stage.parts.settle()
        assertTrue(stage.isSeen(R.string.camera_denied))
        stage.touch(R.string.camera_settings)
        val next = shadowOf(stage.activity).nextStartedActivity
        assertEquals(android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS, next.action)
        assertEquals("package:${stage.app.packageName}", next.dataString)
        stage.allowCamera()
        stage.leave()
        stage.comeBack()
        assertEquals(CameraState.OPEN, stage.state.camera)
    }

    @Test
    fun aDeviceWithoutACameraPicksPhotos() {
        stage.aiming()
        stage.camera.onProblem!!(CameraProblem.NO_CAMERA)
        stage.parts.settle()
        assertTrue(stage.isSeen(R.string.camera_none))
        assertNull(stage.find(stage.string(R.string.shutter)))
        assertNull(stage.find(stage.string(R.string.live_label)))
        assertNull(stage.find(stage.string(R.string.camera_retry)))
        assertTrue(stage.find(stage.string(R.string.pick_photo_label)) != null)
    }

    @Test
    fun aPhoneThatListsNoCameraHasNone() {
        val problems = ArrayList<CameraProblem>()
        PhoneCamera(stage.app).open({}, problems::add)
        assertEquals(listOf(CameraProblem.NO_CAMERA), problems)
    }

    @Test
    fun aCameraInUseIsTriedAgainOnRequest() {
        stage.aiming()
        for ((problem, text) in listOf(CameraProblem.IN_USE to R.string.camera_in_use, CameraProblem.FAILED to R.string.camera_failed)) {
            stage.camera.onProblem!!(problem)
            stage.parts.settle()
            assertTrue(stage.isSeen(text))
            stage.touch(R.string.camera_retry)
            assertEquals(CameraState.OPEN, stage.state.camera)
            assertFalse(stage.isSeen(text))
        }
    }

    @Test
    fun theCameraIsClosedWhenTheAppIsLeft() {
        stage.aiming()
        assertTrue(stage.camera.onFrame != null)
        stage.leave()
        assertNull(stage.camera.onFrame)
        stage.comeBack()
        assertTrue(stage.camera.onFrame != null)
    }

    // --- photos

    private fun pick(photo: ByteArray) {
        stage.touch(R.string.pick_photo_label)
        val asked = shadowOf(stage.activity).nextStartedActivityForResult
        shadowOf(stage.app.contentResolver).registerInputStreamSupplier(uri) { photo.inputStream() }
        shadowOf(stage.activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun aPickedPhotoIsShownAndEncoded() {
        stage.aiming()
        stage.touch(R.string.pick_photo_label)
        val asked = shadowOf(stage.activity).nextStartedActivityForResult.intent
        assertEquals(MediaStore.ACTION_PICK_IMAGES to "image/*", asked.action to asked.type)
        pick(Scenery.file.readBytes())
        assertTrue(stage.isSeen(R.string.picture_reading).also { assertEquals(true, stage.state.isReadingPicture) })
        stage.parts.settle()
        assertTrue(stage.state.picture!!.sameAs(Scenery.bitmap()))
        assertEquals(1, stage.engine.pictures)
        stage.ask("What is this?")
        assertEquals("yes", stage.state.session.turns.single().answer)
    }

    @Test
    @Config(sdk = [35])
    fun aPhoneWithoutAPhotoPickerIsAskedForADocument() {
        stage.aiming()
        shadowOf(stage.app).checkActivities(true)
        val documents = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        @Suppress("DEPRECATION")
        shadowOf(stage.app.packageManager).addResolveInfoForIntent(
            documents,
            android.content.pm.ResolveInfo().apply {
                activityInfo = android.content.pm.ActivityInfo().apply {
                    packageName = "files"
                    name = "Files"
                    applicationInfo = android.content.pm.ApplicationInfo()
                }
            },
        )
        stage.touch(R.string.pick_photo_label)
        val asked = shadowOf(stage.activity).nextStartedActivityForResult.intent
        assertEquals(Intent.ACTION_OPEN_DOCUMENT to "image/*", asked.action to asked.type)
    }

    /** A photo of 40 x 20 pixels, red on the left and blue on the right, that says it must be turned by 90 degrees. */
    private fun turned(): ByteArray {
        val bitmap = Bitmap.createBitmap(40, 20, Bitmap.Config.ARGB_8888)
        for (y in 0 until 20) for (x in 0 until 40) bitmap.setPixel(x, y, if (x < 20) Color.RED else Color.BLUE)
        val file = File(stage.app.cacheDir, "turned.jpg")
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.JPEG, 100, it) }
        ExifInterface(file).apply { setAttribute(ExifInterface.TAG_ORIENTATION, "${ExifInterface.ORIENTATION_ROTATE_90}") }.saveAttributes()
        return file.readBytes()
    }

    @Test
    fun aPhotoIsTurnedAsItsCameraWasHeld() {
        stage.aiming()
        pick(turned())
        stage.parts.settle()
        val picture = checkNotNull(stage.state.picture)
        assertEquals(20 to 40, picture.width to picture.height)
        val (top, bottom) = picture.getPixel(10, 5) to picture.getPixel(10, 35)
        assertTrue(Color.red(top) > 200 && Color.blue(top) < 60)
        assertTrue(Color.blue(bottom) > 200 && Color.red(bottom) < 60)
    }

    @Test
    fun aPhotoThatCannotBeReadIsTold() {
        stage.aiming()
        pick("no picture".toByteArray())
        stage.parts.settle()
        assertTrue(stage.texts(), stage.isSeen(R.string.picture_failed))
        assertTrue(stage.texts(), "expected a photo" in stage.texts())
        assertNull(stage.state.picture)
        assertEquals(0, stage.engine.pictures)
        pick(Scenery.file.readBytes())
        stage.parts.settle()
        assertFalse(stage.isSeen(R.string.picture_failed))
        assertTrue(stage.state.picture != null)
    }

    @Test
    fun aPhotoThatComesAfterANewerPictureIsDropped() {
        stage.aiming()
        pick(Scenery.file.readBytes())
        stage.touchWithoutSettling(R.string.shutter)
        stage.camera.frame(20)
        stage.parts.settle()
        assertEquals(160, stage.state.picture?.width)
    }

    private fun Stage.touchWithoutSettling(label: Int) = press(string(label)).also { idle() }
}
