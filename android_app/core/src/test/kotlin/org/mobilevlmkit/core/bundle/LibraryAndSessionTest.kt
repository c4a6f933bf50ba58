package org.mobilevlmkit.core.bundle

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.prompt.Tokenizer
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.FakeEngine
import org.mobilevlmkit.core.session.LoadedModel
import org.mobilevlmkit.core.session.ModelLoader
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Problem
import org.mobilevlmkit.core.session.SessionFixture
import org.mobilevlmkit.core.session.VlmSession
import java.io.File
import java.util.ArrayDeque
import java.util.concurrent.Executor

/** Imports and deletions during a session and vice versa: the two workers run concurrently. */
class LibraryAndSessionTest {
    @get:Rule
    val temporary = TestBundle.temporaryFolder()
    private val bundle = TestBundle(programBytes = 500)

    /** An app with [bundle] in its folder; [onImport] is called at each point of an import or deletion, [onLoad] of a load. */
    private inner class App {
        val folder: File = temporary.newFolder()
        val place = File(folder, "demo.mvlm").also { bundle.writeTo(it) }
        var onImport: (Int) -> Unit = {}
        var onLoad: (Int) -> Unit = {}
        var importPoints = 0
        var loadPoints = 0
        val engines = ArrayList<FakeEngine>()
        private val files = ArrayDeque<Runnable>()
        private val steps = ArrayDeque<Runnable>()
        private val loader = ModelLoader(
            "executorch",
            engines = { folder, manifest ->
                val program = File(folder, manifest.artifacts.getValue("executorch"))
                check(program.isFile) { "$program: no such file" }
                FakeEngine(Tokenizer.read(File(folder, manifest.tokenizerJson)), manifest.maxPrefill, manifest.maxContext).also {
                    engines.add(it)
                }
            },
            availableMemory = { 1L shl 40 },
        )
        val library = BundleLibrary(BundleStore(folder) { importing() }, Executor { files.add(it) }) {
            if (it.importing != null) importing()
        }
        val session = VlmSession(::load, Executor { steps.add(it) }) {}

        init {
            settle()
            importPoints = 0
        }

        private fun importing() = onImport(importPoints++)

        private fun load(folder: File, job: Job): LoadedModel {
            val watched = Job { done, total ->
                onLoad(loadPoints++)
                job.step(done, total)
            }
            return loader.load(folder, watched)
        }

        fun import() {
            library.import("demo.mvlm.zip", TestBundle.opening(bundle.zipped()))
            settleFiles()
        }

        fun settleFiles() {
            while (true) (files.poll() ?: return).run()
        }

        fun settleSession() {
            while (true) (steps.poll() ?: return).run()
        }

        fun settle() {
            settleFiles()
            settleSession()
        }

        /** The bundle is complete and answers. */
        fun requireWhole(at: String) {
            assertEquals(at, listOf("demo.mvlm"), folder.list()!!.toList())
            BundleFiles.verify(place)
            assertEquals(at, listOf(place), library.state.bundles.map { it.folder })
            assertEquals(at, null, library.state.problem)
            session.open(place) // like the app after an import
            session.show(SessionFixture.picture(1), "What is this?")
            settle()
            assertEquals("$at: ${session.state}", Ended.COMPLETE, session.state.turns.lastOrNull()?.ended)
            assertEquals(at, 1, engines.count { !it.isClosed })
        }
    }

    private val requests = mapOf<String, App.() -> Unit>(
        "open and ask" to {
            session.open(place)
            session.show(SessionFixture.picture(2), "Why?")
        },
        "release memory" to {
            session.background()
            session.releaseMemory()
        },
        "close" to { session.close() },
    )

    @Test
    fun theSessionActsAtEachPointOfAnImportOfTheBundleInUse() {
        for (isOpen in listOf(false, true)) {
            for ((request, make) in requests) {
                var point = 0
                do {
                    val app = App()
                    if (isOpen) app.session.open(app.place)
                    app.settle()
                    app.onImport = {
                        if (it == point) {
                            app.make()
                            app.settleSession()
                        }
                    }
                    app.import()
                    app.session.foreground()
                    app.requireWhole("$request at $point, open before: $isOpen")
                    app.folder.deleteRecursively()
                } while (point++ < app.importPoints)
                assertTrue("$point", point > 10)
            }
        }
    }

    @Test
    fun theSameBundleIsImportedAtEachPointOfALoad() {
        for (damaged in listOf(null, "golden/a.ppm", "model.pte", "tokenizer.json")) {
            var point = 0
            do {
                val app = App()
                if (damaged != null) File(app.place, damaged).run { writeBytes(readBytes().also { it[9]++ }) }
                app.session.open(app.place)
                app.onLoad = {
                    if (it == point) {
                        app.import()
                        app.library.state.imported?.let { imported -> app.session.open(imported.folder) }
                    }
                }
                app.settle()
                if (point < app.loadPoints) assertEquals("$damaged at $point: ${app.session.state}", Phase.READY, app.session.state.phase)
                app.folder.deleteRecursively()
            } while (point++ < app.loadPoints)
        }
    }

    @Test
    fun theBundleIsDeletedAtEachPointOfALoad() {
        for (closes in listOf(true, false)) {
            var point = 0
            do {
                val app = App()
                app.session.open(app.place)
                app.onLoad = {
                    if (it == point) {
                        if (closes) app.session.close()
                        app.library.remove(app.library.state.bundles.single())
                        app.settleFiles()
                    }
                }
                app.settle()
                val at = "$point, $closes: ${app.session.state}"
                if (point == app.loadPoints) {
                    assertEquals(at, Phase.READY, app.session.state.phase)
                } else {
                    assertEquals(at, emptyList<String>(), app.folder.list()!!.toList())
                    assertEquals(at, if (closes) Phase.IDLE else Phase.FAILED, app.session.state.phase)
                    assertEquals(at, closes, app.session.state.problem == null)
                    assertTrue(at, app.session.state.problem.let { it == null || it is Problem.Bundle || it is Problem.Engine })
                    assertTrue(at, app.engines.all { it.isClosed })
                }
                app.folder.deleteRecursively()
            } while (point++ < app.loadPoints)
        }
    }
}
