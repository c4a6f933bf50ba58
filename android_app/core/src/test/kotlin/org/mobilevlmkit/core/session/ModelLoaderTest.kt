package org.mobilevlmkit.core.session

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.EngineException
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.OutdatedException
import org.mobilevlmkit.core.bundle.TestBundle
import org.mobilevlmkit.core.bundle.VerifiedBundles
import org.mobilevlmkit.core.prompt.Tokenizer
import java.io.File
import java.util.concurrent.CancellationException

class ModelLoaderTest {
    @get:Rule
    val temporary = TemporaryFolder()
    private val opened = ArrayList<File>()
    private val folder by lazy { temporary.newFolder("demo.mvlm").also { TestBundle().writeTo(it) } }

    private fun loader(backend: String = "executorch", available: Long = 1L shl 40) = ModelLoader(
        backend,
        engines = { folder, manifest ->
            opened.add(folder)
            FakeEngine(Tokenizer.read(File(folder, manifest.tokenizerJson)), manifest.maxPrefill, manifest.maxContext)
        },
        availableMemory = { available },
        verified = VerifiedBundles(File(temporary.root, "verified")),
    )

    @Test
    fun loadsAValidBundle() {
        var seen = 0L to 0L
        val model = loader().load(folder, Job { done, total -> seen = done to total })
        assertEquals(listOf(folder), opened)
        assertEquals(model.manifest.totalBytes to model.manifest.totalBytes, seen)
    }

    @Test
    fun reportsHowWellItFits() {
        assertEquals(MemoryFit.FITS, loader().load(folder, Job()).memory)
        assertEquals(MemoryFit.TIGHT, loader(available = 10_807_808L).load(folder, Job()).memory)
    }

    @Test
    fun refusesBeforeTheEngineIsOpened() {
        val memory = assertThrows(MemoryException::class.java) { loader(available = 1000).load(folder, Job()) }
        assertEquals(10_807_808L to 1000L, memory.neededBytes to memory.availableBytes)
        val backend = assertThrows(BundleException::class.java) { loader(backend = "coreml").load(folder, Job()) }
        assertTrue(backend.message, "expected coreml" in backend.message!!)
        assertThrows(CancellationException::class.java) { loader().load(folder, Job().also { it.cancel() }) }
        File(folder, "model.pte").appendText("x")
        assertThrows(BundleException::class.java) { loader().load(folder, Job()) }
        assertTrue(opened.isEmpty())
    }

    @Test
    fun loadsAnywayWhatTheUserAskedFor() {
        val loader = loader(available = 1000)
        loader.loadedAnyway = temporary.newFolder("other.mvlm")
        assertThrows(MemoryException::class.java) { loader.load(folder, Job()) }
        loader.loadedAnyway = folder
        assertEquals(MemoryFit.TIGHT, loader.load(folder, Job()).memory)
    }

    @Test
    fun anEngineThatCannotLoadItHasItHashedAgain() {
        var hashed = 0L
        loader().load(folder, Job())
        val broken = ModelLoader(
            "executorch",
            engines = { _, _ -> throw EngineException("engine: no") },
            availableMemory = { 1L shl 40 },
            verified = VerifiedBundles(File(temporary.root, "verified")),
        )
        assertThrows(EngineException::class.java) { broken.load(folder, Job()) }
        loader().load(folder, Job { done, _ -> if (hashed == 0L) hashed = done })
        assertTrue("$hashed", hashed in 1 until TestBundle().files.values.sumOf { it.size.toLong() })
    }

    /** Without reading its files. */
    @Test
    fun refusesWhatMustBeExportedAgain() {
        val old = temporary.newFolder("old.mvlm")
        TestBundle { it + ("format_version" to 1) }.writeTo(old)
        File(old, "model.pte").delete()
        val error = assertThrows(OutdatedException::class.java) { loader().load(old, Job()) }
        assertEquals("old", error.name)
        for (case in Golden.cases("manifests/outdated.json", least = 2)) {
            assertTrue(error.message, case["error_names"] as String in error.message!!)
        }
        assertTrue(opened.isEmpty())
    }

    @Test
    fun refusesAPictureLongerThanAPrefill() {
        val (short, enough) = listOf(35, 36).map { longest ->
            val context = mapOf("max_context" to 512, "max_prefill" to longest)
            temporary.newFolder("$longest.mvlm").also { folder -> TestBundle { it + ("context" to context) }.writeTo(folder) }
        }
        assertEquals(36, loader().load(enough, Job()).manifest.maxPrefill)
        val error = assertThrows(BundleException::class.java) { loader().load(short, Job()) }
        assertTrue(error.message, "prefill of 35 tokens" in error.message!!)
    }
}
