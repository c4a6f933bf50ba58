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
class BundlesScreenTest : OnStage() {
    /** Two bundles, of which `demo` is in use with a picture. */
    private fun two() {
        stage.push("street.mvlm", TestBundle(seed = 2, programBytes = 1_500_000))
        stage.push()
        File(stage.folder("street.mvlm"), "manifest.json").setLastModified(GregorianCalendar(2024, Calendar.MARCH, 5, 12, 0).timeInMillis)
        stage.seen()
        model.go(Screen.BUNDLES)
        stage.parts.settle()
    }

    @Test
    fun eachHasItsSizeDateAndRecipe() {
        two()
        val bytes = BundleFiles.size(stage.folder("street.mvlm"))
        assertEquals(1.5, bytes / 1e6, 0.1)
        val size = android.text.format.Formatter.formatShortFileSize(stage.app, bytes)
        assertTrue(size, size.endsWith("MB"))
        assertTrue(stage.texts(), stage.isSeen(R.string.bundle_line, size, "Mar 5, 2024", stage.state.bundles[0].recipe))
        assertEquals("int4", stage.state.bundles[0].recipe)
        assertEquals(1, stage.texts().split(stage.string(R.string.bundle_in_use)).size - 1)
        assertNull(stage.find(stage.string(R.string.bundle_use_named, "demo")))
    }

    @Test
    fun anotherOneIsUsedAndThePictureForgotten() {
        two()
        stage.touch(R.string.bundle_use_named, "street")
        assertEquals(Screen.CHAT, stage.state.screen)
        assertEquals("street.mvlm", stage.state.session.bundle)
        assertNull(stage.state.picture)
        assertEquals(listOf(true, false), stage.parts.fakes.map { it.isClosed })
        assertTrue("street" in stage.texts())
        stage.app.die()
        stage.start()
        assertEquals("street.mvlm", stage.state.session.bundle)
    }

    @Test
    fun cancellingKeepsIt() {
        two()
        stage.touch(R.string.bundle_delete_named, "street")
        val size = android.text.format.Formatter.formatShortFileSize(stage.app, BundleFiles.size(stage.folder("street.mvlm")))
        assertTrue(stage.texts(), stage.isSeen(R.string.bundle_delete_ask, "street", size))
        stage.touch(R.string.cancel)
        assertEquals(listOf("demo", "street"), stage.state.bundles.map { it.name })
        assertTrue(stage.folder("street.mvlm").isDirectory)
    }

    @Test
    fun confirmingDeletesAndLeavesTheOtherInUse() {
        two()
        stage.touch(R.string.bundle_delete_named, "street")
        stage.touch(R.string.bundle_delete)
        assertEquals(listOf("demo"), stage.state.bundles.map { it.name })
        assertFalse(stage.folder("street.mvlm").exists())
        assertEquals("demo.mvlm", stage.state.session.bundle)
        assertFalse(stage.engine.isClosed)
        assertTrue(stage.state.picture != null)
    }

    @Test
    fun theOneInUseIsFreedBeforeItIsDeletedAndAnotherTakesItsPlace() {
        two()
        stage.touch(R.string.bundle_delete_named, "demo")
        stage.touch(R.string.bundle_delete)
        assertFalse(stage.folder("demo.mvlm").exists())
        assertTrue(stage.parts.fakes.single().isClosed)
        assertNull(stage.state.session.bundle)
        assertNull(stage.state.picture)
        stage.touch(R.string.back)
        assertEquals("street.mvlm", stage.state.session.bundle)
    }

    @Test
    fun deletingTheLastOneLeadsToTheFirstScreen() {
        stage.seen()
        model.go(Screen.BUNDLES)
        stage.parts.settle()
        stage.touch(R.string.bundle_delete_named, "demo")
        stage.touch(R.string.bundle_delete)
        assertEquals(Screen.WELCOME, stage.state.screen)
        assertTrue(stage.state.bundles.isEmpty())
    }

    @Test
    fun onePushedMeanwhileIsFound() {
        stage.aiming()
        model.go(Screen.BUNDLES)
        stage.parts.settle()
        stage.push("street.mvlm", TestBundle(seed = 2))
        stage.touch(R.string.look_again)
        assertTrue(stage.find(stage.string(R.string.bundle_use_named, "street")) != null)
    }

    @Test
    fun oneThatMustBeExportedAgainSaysSoAndIsNotUsed() {
        stage.push("street.mvlm", TestBundle { it + ("format_version" to 1) })
        stage.aiming()
        assertEquals("demo.mvlm", stage.state.session.bundle)
        model.go(Screen.BUNDLES)
        stage.parts.settle()
        assertTrue(stage.texts(), stage.isSeen(R.string.problem_outdated_detail, "street"))
        assertNull(stage.find(stage.string(R.string.bundle_use_named, "street")))
        stage.touch(R.string.bundle_delete_named, "street")
        stage.touch(R.string.bundle_delete)
        assertEquals(listOf("demo"), stage.state.bundles.map { it.name })
    }

    @Test
    fun theOneLastInUseSaysThatItMustBeExportedAgain() {
        stage.seen()
        stage.app.die()
        stage.push(bundle = TestBundle { it + ("format_version" to 1) })
        stage.push("street.mvlm", TestBundle(seed = 2))
        stage.start()
        assertEquals(Screen.CHAT, stage.state.screen)
        assertTrue(stage.texts(), stage.isSeen(R.string.problem_outdated_detail, "demo"))
        assertTrue(stage.parts.fakes.isEmpty())
        stage.touch(R.string.menu_models)
        stage.touch(R.string.bundle_use_named, "street")
        assertEquals("street.mvlm", stage.state.session.bundle)
        assertNull(stage.state.session.problem)
    }

    @Test
    fun anImportIsSeenHereToo() {
        stage.aiming()
        model.go(Screen.BUNDLES)
        stage.parts.settle()
        stage.importHalf()
        assertTrue(stage.isSeen(R.string.import_title, "half.mvlm.zip"))
    }
}
