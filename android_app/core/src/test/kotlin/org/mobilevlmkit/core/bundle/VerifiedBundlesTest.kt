package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import java.io.File

/** Bundles are hashed once, and again when something has changed. */
class VerifiedBundlesTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private val bundle by lazy { temporary.newFolder("demo.mvlm").also { TestBundle().writeTo(it) } }
    private val program by lazy { File(bundle, "model.pte") }
    private val stamps by lazy { File(temporary.root, "verified") }

    /** The bytes that are hashed. */
    private fun hashed(): Long {
        var most = 0L
        VerifiedBundles(stamps).verify(bundle, Job { done, _ -> most = maxOf(most, done) })
        return most
    }

    private val whole by lazy { ManifestReader.read(File(bundle, "manifest.json")).totalBytes }

    @Test
    fun anUnchangedBundleIsHashedOnce() {
        assertEquals(listOf(whole, 0L, 0L), List(3) { hashed() })
    }

    @Test
    fun aChangeIsHashedAgain() {
        hashed()
        program.setLastModified(program.lastModified() - 5000)
        assertEquals(listOf(whole, 0L), List(2) { hashed() })
        File(bundle, "manifest.json").appendText(" ")
        assertEquals(listOf(whole, 0L), List(2) { hashed() })
    }

    @Test
    fun damageIsRefusedAndNeverRemembered() {
        hashed()
        val bytes = program.readBytes()
        program.writeBytes(bytes.copyOf().also { it[7]++ })
        program.setLastModified(program.lastModified() + 5000)
        repeat(2) { assertThrows(BundleException::class.java) { hashed() } }
        program.writeBytes(bytes)
        program.setLastModified(program.lastModified() + 9000)
        assertEquals(whole, hashed())
        program.appendText("x")
        assertThrows(BundleException::class.java) { hashed() }
        program.delete()
        assertThrows(BundleException::class.java) { hashed() }
    }

    /** The program is damaged but for the time in which it is hashed. */
    @Test
    fun aChangeMeanwhileIsNotRemembered() {
        val good = program.readBytes()
        val bad = good.copyOf().also { it[7]++ }
        val time = program.lastModified() - 5000
        program.writeBytes(bad)
        program.setLastModified(time)
        val verified = VerifiedBundles(stamps)
        verified.verify(bundle, Job { _, _ -> program.writeBytes(good) })
        program.writeBytes(bad)
        program.setLastModified(time)
        assertThrows(BundleException::class.java) { verified.verify(bundle) }
    }

    @Test
    fun whatIsForgottenIsHashedAgain() {
        hashed()
        VerifiedBundles(stamps).forget(bundle)
        assertEquals(whole, hashed())
    }

    @Test
    fun withoutAPlaceForStampsItIsHashedEachTime() {
        stamps.writeText("in the way")
        assertEquals(listOf(whole, whole), List(2) { hashed() })
    }
}
