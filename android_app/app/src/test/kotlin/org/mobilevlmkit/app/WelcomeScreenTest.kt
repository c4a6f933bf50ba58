package org.mobilevlmkit.app

import android.app.Activity
import android.app.Notification
import android.app.Service
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.provider.DocumentsContract
import android.view.WindowManager
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.bundle.TestBundle
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.Implementation
import org.robolectric.annotation.Implements
import org.robolectric.shadows.ShadowService
import org.robolectric.shadows.ShadowToast
import java.io.File
import java.io.InputStream

/** The first screen: importing a bundle. */
class WelcomeScreenTest : AppTestCase() {
    private val uri = Uri.parse("content://documents/demo.mvlm.zip")

    /** The user taps the button and chooses the file that [open] reads. */
    private fun choose(open: () -> InputStream) {
        driver.touch(R.string.choose_bundle)
        val asked = shadowOf(driver.activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        assertTrue(Intent.CATEGORY_OPENABLE in asked.intent.categories)
        @Suppress("DEPRECATION")
        val begins = asked.intent.getParcelableExtra<Uri>(DocumentsContract.EXTRA_INITIAL_URI)
        assertEquals("content://com.android.externalstorage.documents/document/primary%3ADownload", "$begins")
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri, open)
        shadowOf(driver.activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun itExplainsPrivacyAndImportsTheChosenFile() {
        driver.start()
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertTrue(driver.isSeen(R.string.welcome_private))
        val zip = TestBundle().zipped()
        choose { zip.inputStream() }
        driver.idle()
        assertTrue(driver.isSeen(R.string.import_begins)) // the other app hasn't said the file's name yet
        assertFalse(driver.isSeen(R.string.choose_bundle))
        driver.dependencies.settle()
        assertEquals(Screen.CHAT, driver.state.screen)
        assertEquals("demo.mvlm", driver.state.session.bundle)
        assertTrue(driver.isSeen(R.string.camera_ask))
    }

    @Test
    fun nothingHappensIfNothingIsChosen() {
        driver.start()
        driver.touch(R.string.choose_bundle)
        val activity = shadowOf(driver.activity)
        activity.receiveResult(activity.nextStartedActivityForResult.intent, Activity.RESULT_CANCELED, Intent().setData(uri))
        driver.dependencies.settle()
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertEquals(null, driver.state.library.importing)
        assertEquals(null, driver.state.library.problem)
    }

    @Test
    fun aMissingFilePickerIsReported() {
        driver.start()
        shadowOf(driver.app).checkActivities(true)
        driver.touch(R.string.choose_bundle)
        assertEquals(driver.string(R.string.no_picker), ShadowToast.getTextOfLatestToast())
    }

    /** Runs [meanwhile] once during unpacking, when more than half of the file has been read. */
    private fun readingHalf(zip: ByteArray, meanwhile: () -> Unit): () -> InputStream {
        var opened = 0
        return {
            opened++
            object : InputStream() {
                private val bytes = zip.inputStream()
                private var isTold = opened != 2

                override fun read(): Int = throw UnsupportedOperationException()

                override fun read(into: ByteArray, offset: Int, length: Int): Int {
                    if (!isTold && bytes.available() < zip.size / 2) {
                        isTold = true
                        meanwhile()
                    }
                    return bytes.read(into, offset, minOf(length, 512))
                }
            }
        }
    }

    @Test
    fun progressIsShownAndCancelledByTheButton() {
        driver.start()
        var isSeen = false
        choose(
            readingHalf(TestBundle(programBytes = 400_000).zipped()) {
                driver.idle()
                val percent = (driver.state.library.importProgress * 100).toInt()
                assertTrue("$percent", percent in 1..99)
                assertTrue(driver.texts(), driver.isSeen(R.string.import_progress, percent))
                isSeen = true
                driver.press(driver.string(R.string.cancel))
            },
        )
        driver.dependencies.settle()
        assertTrue(isSeen)
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertEquals(null, driver.state.library.problem)
        assertTrue(driver.state.bundles.isEmpty())
        assertEquals(emptyList<String>(), driver.folder("").list()!!.toList())
        assertTrue(driver.isSeen(R.string.choose_bundle))
    }

    @Test
    fun aDamagedArchiveIsRefusedWithAReason() {
        driver.start()
        choose { byteArrayOf(1, 2, 3).inputStream() }
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.import_failed))
        assertTrue("demo.mvlm.zip: got a damaged archive" in driver.texts())
        assertTrue(driver.isSeen(R.string.choose_bundle))
    }

    @Test
    fun whatMustBeExportedAgainIsNotImported() {
        driver.start()
        choose { TestBundle { it + ("format_version" to 1) }.zipped().inputStream() }
        driver.dependencies.settle()
        assertTrue(driver.isSeen(R.string.import_failed))
        assertTrue(driver.texts(), driver.isSeen(R.string.problem_outdated_detail, "demo"))
        assertEquals(emptyList<String>(), driver.folder("").list().orEmpty().toList())
        assertTrue(driver.isSeen(R.string.choose_bundle))
    }

    @Test
    fun rotationDoesNotAffectTheImport() {
        driver.start()
        choose(readingHalf(TestBundle(programBytes = 400_000).zipped()) { driver.change("w720dp-h360dp-land-hdpi") })
        driver.dependencies.settle()
        assertEquals("demo.mvlm", driver.state.session.bundle)
        assertEquals(Screen.CHAT, driver.state.screen)
    }

    @Test
    fun anImportThatDiesWithTheAppLeavesNothing() {
        driver.start()
        driver.importHalf()
        assertEquals(1, driver.folder("").list()!!.size)
        driver.dieAndComeBack()
        assertEquals(emptyList<String>(), driver.folder("").list()!!.toList())
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertEquals(null, driver.state.library.importing)
        choose { TestBundle().zipped().inputStream() }
        driver.dependencies.settle()
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    @Test
    fun aPushedBundleIsFound() {
        driver.start()
        driver.push()
        driver.touch(R.string.look_again)
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    @Test
    fun anImportGoesOnWhenTheUserLeavesAndKeepsTheScreenOn() {
        driver.start()
        driver.importHalf()
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        assertEquals(flag, driver.activity.window.attributes.flags and flag)
        val begun = checkNotNull(shadowOf(driver.app).nextStartedService)
        assertEquals(ImportService::class.java.name, begun.component?.className)
        val service = Robolectric.buildService(ImportService::class.java, begun).create().startCommand(0, 1).get()
        assertTrue(shadowOf(service).lastForegroundNotification != null)
        assertFalse(shadowOf(service).isStoppedBySelf)
        ImportService.follow(driver.app, isImporting = false)
        assertTrue(shadowOf(service).isStoppedBySelf)
    }

    @Test
    fun aServiceThatBeginsAfterItsImportEndsAtOnce() {
        driver.start()
        choose { TestBundle().zipped().inputStream() }
        driver.dependencies.settle()
        val begun = checkNotNull(shadowOf(driver.app).nextStartedService)
        val service = Robolectric.buildService(ImportService::class.java, begun).create().startCommand(0, 1).get()
        assertTrue(shadowOf(service).lastForegroundNotification != null)
        assertTrue(shadowOf(service).isStoppedBySelf)
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        assertEquals(0, driver.activity.window.attributes.flags and flag)
    }

    /** The user left in the meantime, or the system's limit for a day is reached. */
    @Test
    @Config(shadows = [RefusingService::class])
    fun anImportGoesOnWithoutItsService() {
        driver.start()
        driver.importHalf()
        val service = Robolectric.buildService(ImportService::class.java, Intent()).create().startCommand(0, 1).get()
        assertTrue(shadowOf(service).isStoppedBySelf)
        assertEquals("half.mvlm.zip", driver.state.library.importing)
    }

    @Test
    fun theNotificationOfAnImportLeadsToTheApp() {
        driver.start()
        driver.importHalf()
        val service = Robolectric.buildService(ImportService::class.java, Intent()).create().startCommand(0, 1).get()
        val opened = shadowOf(shadowOf(service).lastForegroundNotification.contentIntent).savedIntent
        assertEquals(MainActivity::class.java.name, opened.component?.className)
    }

    @Test
    fun aModelOpenedInAFileManagerIsImported() {
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { TestBundle().zipped().inputStream() }
        driver.start(intent = Intent(Intent.ACTION_VIEW).setDataAndType(uri, "application/zip"))
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    @Test
    fun theImportOfAModelFromAFileManagerIsShownAlsoIfItFails() {
        driver.aiming()
        shadowOf(driver.app.contentResolver).registerInputStreamSupplier(uri) { byteArrayOf(1, 2).inputStream() }
        val opened = Intent(Intent.ACTION_VIEW).setDataAndType(uri, "application/zip")
        driver.controller.newIntent(opened)
        driver.dependencies.settle()
        assertTrue(driver.texts(), driver.isSeen(R.string.import_failed))
        driver.app.die()
        driver.start(intent = opened)
        assertTrue(driver.texts(), driver.isSeen(R.string.import_failed))
        driver.touch(R.string.back)
        assertEquals(CameraState.OPEN, driver.state.camera)
    }

    // --- mvlm push

    @Test
    fun aZipThatWasPushedIntoTheAppIsImportedAndDeleted() {
        driver.start()
        val zip = File(driver.app.filesDir, "street.mvlm.zip").apply { writeBytes(TestBundle().zipped()) }
        driver.dependencies.pushed = zip
        driver.leave()
        driver.comeBack()
        assertEquals("street.mvlm", driver.state.session.bundle)
        assertFalse(zip.exists())
        driver.leave()
        driver.comeBack()
        assertEquals(1, driver.state.bundles.size)
    }

    @Test
    fun aZipThatWasPushedBeforeTheFirstStartIsImported() {
        val zip = File(driver.app.filesDir, "street.mvlm.zip").apply { writeBytes(TestBundle().zipped()) }
        driver.dependencies.pushed = zip
        driver.dependencies.packed = TestBundle(seed = 2).zipped()
        driver.start()
        assertEquals("street.mvlm", driver.state.session.bundle)
    }

    @Test
    fun aZipThatWasPushedToDownloadIsChosenInThePicker() {
        driver.start()
        driver.controller.newIntent(Intent(driver.app, MainActivity::class.java).putExtra("choose_model", true))
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, shadowOf(driver.activity).nextStartedActivityForResult.intent.action)
    }

    // --- the packed bundle

    @Test
    fun thePackedBundleIsImportedAtTheFirstStartAndStaysDeleted() {
        driver.dependencies.packed = TestBundle().zipped()
        driver.start()
        assertEquals("demo.mvlm", driver.state.session.bundle)
        model.delete(driver.state.bundles.single())
        driver.dependencies.settle()
        val packed = driver.dependencies.packed
        driver.app.die()
        driver.dependencies.packed = packed
        driver.start()
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertTrue(driver.state.bundles.isEmpty())
        driver.touch(R.string.use_packed)
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    /** The settings are transferred to it, the models aren't. */
    @Test
    fun aNewPhoneImportsThePackedBundleToo() {
        driver.dependencies.packed = TestBundle().zipped()
        driver.start()
        val transferred = driver.app.getSharedPreferences("settings", Context.MODE_PRIVATE).all.keys
        assertEquals(emptySet<String>(), transferred)
    }

    @Test
    fun thePackedBundleCanBeCancelledAndImportedLater() {
        driver.dependencies.packed = TestBundle().zipped()
        driver.controller = org.robolectric.Robolectric.buildActivity(MainActivity::class.java).setup()
        listAndBeginToImport()
        driver.press(driver.string(R.string.cancel))
        driver.dependencies.settle()
        assertTrue(driver.state.bundles.isEmpty())
        assertTrue(driver.dependencies.settings.hasImportedPacked)
        driver.touch(R.string.use_packed)
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    /** Runs until the first listing; the import of the packed bundle is the next task. */
    private fun listAndBeginToImport() {
        driver.dependencies.stepImports()
        driver.idle()
        assertEquals("demo.mvlm.zip", driver.state.library.importing)
    }

    @Test
    fun aDamagedPackedBundleIsReported() {
        driver.dependencies.packed = byteArrayOf(1, 2, 3)
        driver.start()
        assertTrue(driver.isSeen(R.string.import_failed))
        assertTrue(driver.isSeen(R.string.choose_bundle))
    }

    @Test
    fun thePackedBundleIsTriedAgainIfTheAppDiedMeanwhile() {
        driver.dependencies.packed = TestBundle().zipped()
        driver.controller = org.robolectric.Robolectric.buildActivity(MainActivity::class.java).setup()
        listAndBeginToImport()
        val packed = driver.dependencies.packed
        driver.app.die()
        driver.dependencies.packed = packed
        driver.start()
        assertEquals("demo.mvlm", driver.state.session.bundle)
    }

    @Test
    fun aBundleThatCannotBeReadCanBeDeleted() {
        driver.folder("broken.mvlm").mkdirs()
        driver.start()
        assertEquals(Screen.WELCOME, driver.state.screen)
        driver.touch(R.string.menu_models)
        assertTrue(driver.isSeen(R.string.bundle_unreadable))
        driver.touch(R.string.back)
        assertEquals(Screen.WELCOME, driver.state.screen)
        driver.touch(R.string.menu_models)
        driver.touch(R.string.bundle_delete_named, "broken")
        driver.touch(R.string.bundle_delete)
        assertFalse(driver.folder("broken.mvlm").exists())
        assertEquals(Screen.WELCOME, driver.state.screen)
    }

    @Test
    fun aboutShowsVersionAndLicenses() {
        driver.start()
        driver.touch(R.string.menu_about)
        val notice = driver.app.assets.open("NOTICE.txt").use { it.readBytes().toString(Charsets.UTF_8) }
        assertTrue("Apache License" in notice && notice in driver.texts())
        val version = driver.app.packageManager.getPackageInfo(driver.app.packageName, 0).versionName
        assertTrue(driver.isSeen(R.string.about_text, checkNotNull(version)))
        driver.touch(R.string.back)
        assertEquals(Screen.WELCOME, driver.state.screen)
    }
}

/** The system refuses to let it run in the foreground. */
@Implements(Service::class)
class RefusingService : ShadowService() {
    @Implementation
    override fun startForeground(id: Int, notification: Notification, type: Int): Unit = throw IllegalStateException("not allowed")
}
