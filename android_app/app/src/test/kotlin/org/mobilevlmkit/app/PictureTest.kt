package org.mobilevlmkit.app

import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Color
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.media.ExifInterface
import android.net.Uri
import android.os.Looper
import android.os.PowerManager
import android.provider.MediaStore
import android.view.MotionEvent
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.camera.Viewfinder
import org.mobilevlmkit.core.pixels.Orientation
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.Phase
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.ShadowCameraManager
import org.robolectric.shadows.ShadowDisplayManager
import java.io.File
import java.time.Duration

/** Pictures from the camera, and from other apps. */
class PictureTest : AppTestCase() {
    private val uri = Uri.parse("content://photos/1")

    // --- the camera

    @Test
    fun aPictureIsEncodedAtOnce() {
        driver.aiming()
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
        driver.swipeBack()
        assertNull(driver.state.picture)
        assertFalse(driver.activity.isFinishing)
        driver.swipeBack()
        assertTrue(driver.activity.isFinishing)
    }

    @Test
    @Config(sdk = [35])
    fun theBackGestureIsTheSystemsWhereThereIsNoWayBack() {
        driver.aiming()
        assertFalse(driver.handlesBack)
        driver.take()
        assertTrue(driver.handlesBack)
        driver.touch(R.string.new_picture)
        assertFalse(driver.handlesBack)
        model.go(Screen.ABOUT)
        assertTrue(driver.handlesBack)
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
        PhoneCamera(driver.app).open(CameraControls(), Reports(problems::add))
        waitForTheCameraThread()
        assertEquals(listOf(CameraProblem.NO_CAMERA), problems)
    }

    private class Reports(private val onProblem: (CameraProblem) -> Unit, private val onReady: () -> Unit = {}) : CameraListener {
        override fun onFrame(frame: Frame) = Unit
        override fun onTraits(traits: CameraTraits) = Unit
        override fun onProblem(problem: CameraProblem) = onProblem.invoke(problem)
        override fun onAvailable() = onReady()
    }

    private fun waitForTheCameraThread() {
        shadowOf(PhoneCamera.thread.looper).idle()
        driver.idle()
    }

    /** What Camera2 throws on its thread, here because this camera describes itself wrongly, ends in a problem. */
    @Test
    fun aBrokenCameraIsAProblemAndTriedAgainLaterEachTime() {
        val cameras = Shadow.extract<ShadowCameraManager>(driver.app.getSystemService(CameraManager::class.java))
        val traits = ShadowCameraCharacteristics.newCameraCharacteristics()

        @Suppress("UNCHECKED_CAST")
        val key = CameraCharacteristics.SCALER_AVAILABLE_MAX_DIGITAL_ZOOM as CameraCharacteristics.Key<Any>
        Shadow.extract<ShadowCameraCharacteristics>(traits).set(key, "much")
        cameras.addCamera("0", traits)
        val problems = ArrayList<CameraProblem>()
        var available = 0
        val camera = PhoneCamera(driver.app)
        val waits = List(3) {
            camera.open(CameraControls(), Reports(problems::add) { available++ })
            waitForTheCameraThread()
            cameras.addCamera("${it + 1}", traits) // here only changes are reported
            val before = available
            (1..40).first {
                shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(100))
                available > before
            }
        }
        assertEquals(List(3) { CameraProblem.FAILED }, problems)
        assertTrue("$waits", waits[0] in 4..6 && waits[1] in 9..11 && waits[2] in 19..21)
        camera.close()
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(20))
        assertEquals(3, available)
    }

    @Test
    fun theCameraComesBackByItself() {
        driver.aiming()
        for (problem in listOf(CameraProblem.IN_USE, CameraProblem.FAILED)) {
            driver.camera.onProblem!!(problem)
            driver.dependencies.settle()
            driver.camera.onAvailable!!()
            driver.dependencies.settle()
            assertEquals(CameraState.OPEN, driver.state.camera)
            driver.camera.onProblem!!(problem)
            driver.leave()
            driver.comeBack()
            assertEquals(CameraState.OPEN, driver.state.camera)
            driver.camera.onProblem!!(problem)
            model.go(Screen.ABOUT)
            model.back()
            driver.dependencies.settle()
            assertEquals(CameraState.OPEN, driver.state.camera)
        }
    }

    @Test
    fun heatIsNotAFailureOfTheCamera() {
        driver.aiming()
        shadowOf(driver.app.getSystemService(PowerManager::class.java)).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
        driver.camera.onProblem!!(CameraProblem.FAILED)
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.camera_hot))
        driver.camera.onAvailable!!()
        driver.dependencies.settle()
        assertEquals(CameraState.OPEN, driver.state.camera)
    }

    @Test
    fun aTurnOfTheScreenTurnsTheCamera() {
        driver.aiming()
        ShadowDisplayManager.changeDisplay(0, "+land")
        driver.idle()
        assertTrue(driver.camera.turns > 0)
        driver.leave()
        val before = driver.camera.turns
        ShadowDisplayManager.changeDisplay(0, "+port")
        driver.idle()
        assertEquals(before, driver.camera.turns)
    }

    @Test
    fun thePictureIsWhatTheViewfinderShows() {
        driver.aiming()
        driver.camera.viewfinder = Viewfinder(90, 200)
        driver.touch(R.string.shutter)
        driver.camera.frame(80)
        driver.dependencies.settle()
        val picture = checkNotNull(driver.state.picture)
        assertEquals(54 to 120, picture.width to picture.height)
        assertTrue(Color.red(picture.getPixel(26, 60)) > 200 && Color.red(picture.getPixel(28, 60)) < 80)
    }

    @Test
    fun aPhotoThatDidNotComeIsNotTakenWhenTheCameraIsBack() {
        driver.aiming()
        driver.touch(R.string.shutter)
        driver.leave()
        driver.comeBack()
        driver.camera.frame()
        driver.dependencies.settle()
        assertNull(driver.state.picture)
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

    @Test
    fun theCameraIsSetByItsControls() {
        driver.aiming()
        driver.touch(R.string.torch_on)
        assertTrue(driver.camera.controls.isTorchOn)
        driver.touch(R.string.torch_off)
        model.adjust { copy(zoom = 3f, exposure = 0.5f, focus = 0.25f to 0.75f) }
        driver.idle()
        assertEquals(CameraControls(zoom = 3f, exposure = 0.5f, focus = 0.25f to 0.75f), driver.camera.controls)
        driver.touch(R.string.switch_camera)
        assertEquals(CameraControls(isFront = true), driver.camera.controls)
        driver.take()
        driver.touch(R.string.new_picture)
        assertEquals(CameraControls(isFront = true), driver.camera.controls)
    }

    @Test
    fun aTouchOnTheViewfinderFocusesThere() {
        driver.aiming()
        val window = driver.activity.window.decorView
        driver.layOut(window)
        for (action in listOf(MotionEvent.ACTION_DOWN, MotionEvent.ACTION_UP)) {
            window.dispatchTouchEvent(MotionEvent.obtain(0, 0, action, window.width / 4f, window.height / 2f, 0))
        }
        driver.idle()
        val (x, y) = checkNotNull(driver.camera.controls.focus)
        assertEquals(0.25f, x, 0.01f)
        assertEquals(0.5f, y, 0.01f)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(6))
        assertNull(driver.camera.controls.focus) // wherever the camera sees fit
    }

    @Test
    fun aPictureSharedFromAnotherAppIsAskedAbout() {
        driver.allowCamera()
        driver.push()
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { Scenery.file.inputStream() }
        val shared = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, uri)
        driver.start(intent = shared)
        assertTrue(driver.state.picture!!.sameAs(Scenery.bitmap()))
        assertEquals(Phase.IMAGE_READY, driver.state.session.phase)
        model.go(Screen.ABOUT)
        driver.controller.newIntent(shared)
        driver.dependencies.settle()
        assertEquals(Screen.CHAT to 2, driver.state.screen to driver.engine.pictures)
    }

    /** Any app may send anything. */
    @Test
    fun whatIsSharedButIsNoPictureIsIgnored() {
        driver.aiming()
        driver.controller.newIntent(Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, Intent("no uri")))
        driver.dependencies.settle()
        assertEquals(CameraState.OPEN to false, driver.state.camera to driver.state.isReadingPicture)
    }

    // --- photos

    private fun pick(photo: ByteArray) {
        driver.touch(R.string.pick_photo_label)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { photo.inputStream() }
        shadowOf(driver.activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun aPhotoIsReadWhileAModelIsImported() {
        driver.aiming()
        driver.dependencies.isImportSlow = true
        model.import("street.mvlm.zip", TestBundle.opening(TestBundle(seed = 2).zipped()))
        pick(Scenery.file.readBytes())
        driver.dependencies.settle()
        assertTrue(driver.state.picture!!.sameAs(Scenery.bitmap()))
        driver.dependencies.isImportSlow = false
        driver.dependencies.settle()
        assertEquals("street.mvlm", driver.state.session.bundle)
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

    /** A photo of 40 x 20 pixels, red on the left and blue on the right, with an EXIF rotation of 90 degrees or another. */
    private fun turned(orientation: Int = ExifInterface.ORIENTATION_ROTATE_90): ByteArray {
        val bitmap = Bitmap.createBitmap(40, 20, Bitmap.Config.ARGB_8888)
        for (y in 0 until 20) {
            for (x in 0 until 40) {
                bitmap.setPixel(
                    x,
                    y,
                    if (y < 10 && x < 20) {
                        Color.GREEN
                    } else if (x < 20) {
                        Color.RED
                    } else {
                        Color.BLUE
                    },
                )
            }
        }
        val file = File(driver.app.cacheDir, "turned.jpg")
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.JPEG, 100, it) }
        ExifInterface(file).apply { setAttribute(ExifInterface.TAG_ORIENTATION, "$orientation") }.saveAttributes()
        return file.readBytes()
    }

    @Test
    fun aPhotoIsRotatedByItsOrientation() {
        driver.aiming()
        pick(turned())
        driver.dependencies.settle()
        val picture = checkNotNull(driver.state.picture)
        assertEquals(20 to 40, picture.width to picture.height)
        val (top, bottom) = picture.getPixel(5, 5) to picture.getPixel(10, 35)
        assertTrue(Color.red(top) > 200 && Color.blue(top) < 60)
        assertTrue(Color.blue(bottom) > 200 && Color.red(bottom) < 60)
    }

    /** Row by row, without a second copy of the photo. */
    @Test
    fun everyOrientationIsReadAsTheCoreTurnsIt() {
        fun read(orientation: Int): Picture {
            val photo = turned(orientation)
            shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { photo.inputStream() }
            return Photos.read(driver.app.contentResolver, uri, 0)
        }
        fun pixels(picture: Picture) = List(picture.height) { y ->
            IntArray(picture.width + 1).also { picture.readRow(y, it, 1) }.drop(1).map { it and 0xffffff }
        }
        val stored = read(1)
        for (orientation in Orientation.values()) {
            assertEquals("$orientation", pixels(orientation.upright(stored)), pixels(read(orientation.exif)))
        }
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
