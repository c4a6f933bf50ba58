package org.mobilevlmkit.app

import android.app.Activity
import android.content.Intent
import android.net.Uri
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.bundle.TestBundle
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowToast
import java.io.InputStream

/** The first screen: how a bundle comes to the phone. */
class WelcomeScreenTest : OnStage() {
    private val uri = Uri.parse("content://documents/demo.mvlm.zip")

    /** The user touches the button and chooses what [open] reads. */
    private fun choose(open: () -> InputStream) {
        stage.touch(R.string.choose_bundle)
        val asked = shadowOf(stage.activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        assertTrue(Intent.CATEGORY_OPENABLE in asked.intent.categories)
        shadowOf(stage.app.contentResolver).registerInputStreamSupplier(uri, open)
        shadowOf(stage.activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
    }

    @Test
    fun itSaysThatThereIsNoNetworkAndImportsWhatIsChosen() {
        stage.start()
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertTrue(stage.isSeen(R.string.welcome_private))
        val zip = TestBundle().zipped()
        choose { zip.inputStream() }
        stage.idle()
        assertTrue(stage.isSeen(R.string.import_title, "demo.mvlm.zip"))
        assertFalse(stage.isSeen(R.string.choose_bundle))
        stage.parts.settle()
        assertEquals(Screen.CHAT, stage.state.screen)
        assertEquals("demo.mvlm", stage.state.session.bundle)
        assertTrue(stage.isSeen(R.string.camera_ask))
    }

    @Test
    fun nothingHappensIfNothingIsChosen() {
        stage.start()
        stage.touch(R.string.choose_bundle)
        val activity = shadowOf(stage.activity)
        activity.receiveResult(activity.nextStartedActivityForResult.intent, Activity.RESULT_CANCELED, Intent().setData(uri))
        stage.parts.settle()
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertEquals(null, stage.state.library.importing)
        assertEquals(null, stage.state.library.problem)
    }

    @Test
    fun aPhoneWithoutAFilePickerIsTold() {
        stage.start()
        shadowOf(stage.app).checkActivities(true)
        stage.touch(R.string.choose_bundle)
        assertEquals(stage.string(R.string.no_picker), ShadowToast.getTextOfLatestToast())
    }

    /** Runs [meanwhile] once when more than half of the file has been read the second time, when it is unpacked. */
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
        stage.start()
        var isSeen = false
        choose(
            readingHalf(TestBundle(programBytes = 400_000).zipped()) {
                stage.idle()
                val percent = (stage.state.library.importProgress * 100).toInt()
                assertTrue("$percent", percent in 1..99)
                assertTrue(stage.texts(), stage.isSeen(R.string.import_progress, percent))
                isSeen = true
                stage.press(stage.string(R.string.cancel))
            },
        )
        stage.parts.settle()
        assertTrue(isSeen)
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertEquals(null, stage.state.library.problem)
        assertTrue(stage.state.bundles.isEmpty())
        assertEquals(emptyList<String>(), stage.folder("").list()!!.toList())
        assertTrue(stage.isSeen(R.string.choose_bundle))
    }

    @Test
    fun aDamagedArchiveIsRefusedReadably() {
        stage.start()
        choose { byteArrayOf(1, 2, 3).inputStream() }
        stage.parts.settle()
        assertTrue(stage.isSeen(R.string.import_failed))
        assertTrue("demo.mvlm.zip: got a damaged archive" in stage.texts())
        assertTrue(stage.isSeen(R.string.choose_bundle))
    }

    @Test
    fun whatMustBeExportedAgainIsNotImported() {
        stage.start()
        choose { TestBundle { it + ("format_version" to 1) }.zipped().inputStream() }
        stage.parts.settle()
        assertTrue(stage.isSeen(R.string.import_failed))
        assertTrue(stage.texts(), stage.isSeen(R.string.problem_outdated_detail, "demo"))
        assertEquals(emptyList<String>(), stage.folder("").list().orEmpty().toList())
        assertTrue(stage.isSeen(R.string.choose_bundle))
    }

    @Test
    fun turningThePhoneLeavesTheImportAlone() {
        stage.start()
        choose(readingHalf(TestBundle(programBytes = 400_000).zipped()) { stage.change("w720dp-h360dp-land-hdpi") })
        stage.parts.settle()
        assertEquals("demo.mvlm", stage.state.session.bundle)
        assertEquals(Screen.CHAT, stage.state.screen)
    }

    @Test
    fun anImportThatDiesWithTheAppLeavesNothing() {
        stage.start()
        stage.importHalf()
        assertEquals(1, stage.folder("").list()!!.size)
        stage.dieAndComeBack()
        assertEquals(emptyList<String>(), stage.folder("").list()!!.toList())
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertEquals(null, stage.state.library.importing)
        choose { TestBundle().zipped().inputStream() }
        stage.parts.settle()
        assertEquals("demo.mvlm", stage.state.session.bundle)
    }

    @Test
    fun aPushedBundleIsFound() {
        stage.start()
        stage.push()
        stage.touch(R.string.look_again)
        assertEquals("demo.mvlm", stage.state.session.bundle)
    }

    // --- the bundle that is packed into the app

    @Test
    fun thePackedBundleIsThereAtTheFirstStartAndStaysDeleted() {
        stage.parts.packed = TestBundle().zipped()
        stage.start()
        assertEquals("demo.mvlm", stage.state.session.bundle)
        model.delete(stage.state.bundles.single())
        stage.parts.settle()
        val packed = stage.parts.packed
        stage.app.die()
        stage.parts.packed = packed
        stage.start()
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertTrue(stage.state.bundles.isEmpty())
        stage.touch(R.string.use_packed)
        assertEquals("demo.mvlm", stage.state.session.bundle)
    }

    @Test
    fun thePackedBundleCanBeCancelledAndHadLater() {
        stage.parts.packed = TestBundle().zipped()
        stage.controller = org.robolectric.Robolectric.buildActivity(MainActivity::class.java).setup()
        listAndBeginToImport()
        stage.press(stage.string(R.string.cancel))
        stage.parts.settle()
        assertTrue(stage.state.bundles.isEmpty())
        assertTrue(stage.parts.settings.hasImportedPacked)
        stage.touch(R.string.use_packed)
        assertEquals("demo.mvlm", stage.state.session.bundle)
    }

    /** The first list is there, and the import of the packed bundle is the next task. */
    private fun listAndBeginToImport() {
        stage.parts.step()
        stage.idle()
        assertEquals("demo.mvlm.zip", stage.state.library.importing)
    }

    @Test
    fun aDamagedPackedBundleIsTold() {
        stage.parts.packed = byteArrayOf(1, 2, 3)
        stage.start()
        assertTrue(stage.isSeen(R.string.import_failed))
        assertTrue(stage.isSeen(R.string.choose_bundle))
    }

    @Test
    fun thePackedBundleIsTriedAgainIfTheAppDiedMeanwhile() {
        stage.parts.packed = TestBundle().zipped()
        stage.controller = org.robolectric.Robolectric.buildActivity(MainActivity::class.java).setup()
        listAndBeginToImport()
        val packed = stage.parts.packed
        stage.app.die()
        stage.parts.packed = packed
        stage.start()
        assertEquals("demo.mvlm", stage.state.session.bundle)
    }

    @Test
    fun aBundleThatCannotBeReadCanBeDeleted() {
        stage.folder("broken.mvlm").mkdirs()
        stage.start()
        assertEquals(Screen.WELCOME, stage.state.screen)
        stage.touch(R.string.menu_models)
        assertTrue(stage.isSeen(R.string.bundle_unreadable))
        stage.touch(R.string.back)
        assertEquals(Screen.WELCOME, stage.state.screen)
        stage.touch(R.string.menu_models)
        stage.touch(R.string.bundle_delete_named, "broken")
        stage.touch(R.string.bundle_delete)
        assertFalse(stage.folder("broken.mvlm").exists())
        assertEquals(Screen.WELCOME, stage.state.screen)
    }

    @Test
    fun aboutNamesVersionAndLicences() {
        stage.start()
        stage.touch(R.string.menu_about)
        val notice = stage.app.assets.open("NOTICE.txt").use { it.readBytes().toString(Charsets.UTF_8) }
        assertTrue("Apache License" in notice && notice in stage.texts())
        val version = stage.app.packageManager.getPackageInfo(stage.app.packageName, 0).versionName
        assertTrue(stage.isSeen(R.string.about_text, checkNotNull(version)))
        stage.touch(R.string.back)
        assertEquals(Screen.WELCOME, stage.state.screen)
    }
}
