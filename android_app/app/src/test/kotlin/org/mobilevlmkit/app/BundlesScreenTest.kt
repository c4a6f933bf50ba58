package org.mobilevlmkit.app

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.bundle.BundleFiles
import org.mobilevlmkit.core.bundle.TestBundle
import java.io.File
import java.util.Calendar
import java.util.GregorianCalendar

/** The bundles on the phone. */
class BundlesScreenTest : AppTestCase() {
    /** Two bundles; `demo` is in use with a picture. */
    private fun two() {
        driver.push("street.mvlm", TestBundle(seed = 2, programBytes = 1_500_000))
        driver.push()
        File(driver.folder("street.mvlm"), "manifest.json").setLastModified(GregorianCalendar(2024, Calendar.MARCH, 5, 12, 0).timeInMillis)
        driver.seen()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
    }

    @Test
    fun eachHasItsSizeDateAndRecipe() {
        two()
        val bytes = BundleFiles.size(driver.folder("street.mvlm"))
        assertEquals(1.5, bytes / 1e6, 0.1)
        val size = android.text.format.Formatter.formatShortFileSize(driver.app, bytes)
        assertTrue(size, size.endsWith("MB"))
        assertTrue(driver.texts(), driver.isSeen(R.string.bundle_line, size, "Mar 5, 2024", driver.state.bundles[0].recipe))
        assertEquals("int4", driver.state.bundles[0].recipe)
        assertEquals(1, driver.texts().split(driver.string(R.string.bundle_in_use)).size - 1)
        assertNull(driver.find(driver.string(R.string.bundle_use_named, "demo")))
    }

    @Test
    fun anotherOneIsUsedAndThePictureForgotten() {
        two()
        driver.touch(R.string.bundle_use_named, "street")
        assertEquals(Screen.CHAT, driver.state.screen)
        assertEquals("street.mvlm", driver.state.session.bundle)
        assertNull(driver.state.picture)
        assertEquals(listOf(true, false), driver.dependencies.fakes.map { it.isClosed })
        assertTrue("street" in driver.texts())
        driver.app.die()
        driver.start()
        assertEquals("street.mvlm", driver.state.session.bundle)
    }

    @Test
    fun cancellingKeepsIt() {
        two()
        driver.touch(R.string.bundle_delete_named, "street")
        val size = android.text.format.Formatter.formatShortFileSize(driver.app, BundleFiles.size(driver.folder("street.mvlm")))
        assertTrue(driver.texts(), driver.isSeen(R.string.bundle_delete_ask, "street", size))
        driver.touch(R.string.cancel)
        assertEquals(listOf("demo", "street"), driver.state.bundles.map { it.name })
        assertTrue(driver.folder("street.mvlm").isDirectory)
    }

    @Test
    fun confirmingDeletesAndLeavesTheOtherInUse() {
        two()
        driver.touch(R.string.bundle_delete_named, "street")
        driver.touch(R.string.bundle_delete)
        assertEquals(listOf("demo"), driver.state.bundles.map { it.name })
        assertFalse(driver.folder("street.mvlm").exists())
        assertEquals("demo.mvlm", driver.state.session.bundle)
        assertFalse(driver.engine.isClosed)
        assertTrue(driver.state.picture != null)
    }

    @Test
    fun theOneInUseIsFreedBeforeItIsDeletedAndAnotherTakesItsPlace() {
        two()
        driver.touch(R.string.bundle_delete_named, "demo")
        driver.touch(R.string.bundle_delete)
        assertFalse(driver.folder("demo.mvlm").exists())
        assertTrue(driver.dependencies.fakes.single().isClosed)
        assertNull(driver.state.session.bundle)
        assertNull(driver.state.picture)
        driver.touch(R.string.back)
        assertEquals("street.mvlm", driver.state.session.bundle)
    }

    @Test
    fun deletingTheLastOneLeadsToTheFirstScreen() {
        driver.seen()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        driver.touch(R.string.bundle_delete_named, "demo")
        driver.touch(R.string.bundle_delete)
        assertEquals(Screen.WELCOME, driver.state.screen)
        assertTrue(driver.state.bundles.isEmpty())
    }

    @Test
    fun onePushedMeanwhileIsFound() {
        driver.aiming()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        driver.push("street.mvlm", TestBundle(seed = 2))
        driver.touch(R.string.look_again)
        assertTrue(driver.find(driver.string(R.string.bundle_use_named, "street")) != null)
    }

    @Test
    fun anOutdatedBundleIsMarkedAndNotUsed() {
        driver.push("street.mvlm", TestBundle { it + ("format_version" to 1) })
        driver.aiming()
        assertEquals("demo.mvlm", driver.state.session.bundle)
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        assertTrue(driver.texts(), driver.isSeen(R.string.problem_outdated_detail, "street"))
        assertNull(driver.find(driver.string(R.string.bundle_use_named, "street")))
        driver.touch(R.string.bundle_delete_named, "street")
        driver.touch(R.string.bundle_delete)
        assertEquals(listOf("demo"), driver.state.bundles.map { it.name })
    }

    @Test
    fun theLastUsedBundleAsksToBeExportedAgain() {
        driver.seen()
        driver.app.die()
        driver.push(bundle = TestBundle { it + ("format_version" to 1) })
        driver.push("street.mvlm", TestBundle(seed = 2))
        driver.start()
        assertEquals(Screen.CHAT, driver.state.screen)
        assertTrue(driver.texts(), driver.isSeen(R.string.problem_outdated_detail, "demo"))
        assertTrue(driver.dependencies.fakes.isEmpty())
        driver.touch(R.string.menu_models)
        driver.touch(R.string.bundle_use_named, "street")
        assertEquals("street.mvlm", driver.state.session.bundle)
        assertNull(driver.state.session.problem)
    }

    @Test
    fun aRunningImportIsShownHereToo() {
        driver.aiming()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        driver.importHalf()
        assertTrue(driver.isSeen(R.string.import_title, "half.mvlm.zip"))
    }
}
