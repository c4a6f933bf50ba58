package org.mobilevlmkit.app

import android.content.ComponentCallbacks2
import android.net.Uri
import android.os.PowerManager
import org.mobilevlmkit.core.bundle.TestBundle
import org.robolectric.Shadows.shadowOf

/**
 * A screen in one of its states.
 *
 * @property play brings it about
 * @property open what is done again whenever the activity is made anew, such as opening a dialog
 */
class Scene(val name: String, val open: Stage.() -> Unit = {}, val play: Stage.() -> Unit)

/** Every screen of the app, in each of the states that look different. */
object Scenes {
    private fun Stage.problem(call: String, says: String) = apply {
        parts.prepare = { it.meanwhile = { name -> if (name == call) error(says) } }
    }

    private fun Stage.onCheck(play: Stage.() -> Unit = {}): Stage = aiming().apply {
        model().go(Screen.CHECK)
        play()
        parts.settle()
    }

    private fun Stage.checked(isSame: Boolean = true): Stage {
        allowCamera()
        parts.prepare = { it.answers = { CheckedBundle.says } }
        CheckedBundle.writeTo(folder("demo.mvlm")) { index, record ->
            if (isSame || index == 0) record else record.copy(answer = CheckedBundle.OTHER_ANSWER)
        }
        start()
        model().go(Screen.CHECK)
        touch(R.string.check_start)
        return this
    }

    private fun Stage.live(): Stage = aiming().apply {
        model().startLive("Describe the image.")
        parts.settle()
    }

    private fun Stage.camera(problem: CameraProblem) = aiming().apply { camera.onProblem?.invoke(problem) }

    private fun Stage.model() = app.model

    val all = listOf(
        Scene("welcome") { start() },
        Scene("welcome with a packed bundle") {
            parts.packed = byteArrayOf(1)
            start()
        },
        Scene("welcome with a bundle that can't be read") {
            folder("broken.mvlm").mkdirs()
            start()
        },
        Scene("importing") { start().importHalf() },
        Scene("import failed") {
            start()
            app.model.import("broken.mvlm.zip") { byteArrayOf(1, 2, 3).inputStream() }
            parts.settle()
        },
        Scene("import of what must be exported again") {
            start()
            app.model.import("old.mvlm.zip", TestBundle.opening(outdated.zipped()))
            parts.settle()
        },
        Scene("camera to be allowed") {
            push()
            start()
        },
        Scene("camera denied") {
            push()
            start()
            model().onCamera(CameraState.DENIED)
        },
        Scene("no camera") { camera(CameraProblem.NO_CAMERA) },
        Scene("camera in use") { camera(CameraProblem.IN_USE) },
        Scene("camera failed") { camera(CameraProblem.FAILED) },
        Scene("aiming") { aiming() },
        Scene("aiming after a picture") { seen().touch(R.string.new_picture) },
        Scene("photo being read") {
            aiming()
            model().pick(Uri.parse("content://photos/1"))
        },
        Scene("photo that can't be used") {
            aiming()
            model().pick(Uri.parse("content://photos/1"))
            parts.settle()
        },
        Scene("loading") {
            aiming()
            leave()
            activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
            parts.settle()
            controller.restart().start().resume()
            idle()
        },
        Scene("looking") {
            aiming()
            touch(R.string.shutter)
            camera.frame()
            idle()
        },
        Scene("seen") { seen() },
        Scene("a question waiting") {
            seen()
            field().text = "What is this?"
            press(string(R.string.ask))
            idle()
        },
        Scene("answered") {
            seen()
            engine.answers = Scenery::answer
            ask("Read the word.")
            ask("Describe the image.")
        },
        Scene("answer stopped") {
            seen()
            engine.answers = { List(50) { "▁red" } }
            engine.meanwhile = { if (it == "piece 3") model().stop() }
            ask("What is this?")
        },
        Scene("answer failed") {
            seen()
            engine.meanwhile = { if (it == "piece 0") error("no kernel") }
            ask("What is this?")
        },
        Scene("speaking") {
            seen()
            ask("What is this?")
            model().onSpeaking("yes")
        },
        Scene("context full") {
            seen()
            ask(List(450) { "red" }.joinToString(" "))
        },
        Scene("too little memory") {
            giveMemory(1)
            aiming()
        },
        Scene("memory tight") {
            giveMemory(MEMORY * 11 / 10)
            seen()
        },
        Scene("engine failed") { problem("prefillImage", "no kernel for op").seen() },
        Scene("damaged bundle") {
            allowCamera()
            push()
            folder("demo.mvlm/model.pte").writeText("short")
            start()
        },
        Scene("a model that must be exported again") {
            allowCamera()
            push(bundle = outdated)
            start()
        },
        Scene("after a crash") {
            Settings(app).isEngineBusy = true
            aiming()
        },
        Scene("no model in use") {
            aiming()
            model().delete(state.bundles.single().copy(folder = folder("demo.mvlm")))
            model().go(Screen.CHAT)
        },
        Scene("live mode to be begun", open = { touch(R.string.live_label) }) { aiming() },
        Scene("live mode looking") { live() },
        Scene("live mode answering") {
            live().engine.answers = Scenery::answer
            camera.frame()
            parts.settle()
        },
        Scene("live mode resting") {
            live()
            shadowOf(app.getSystemService(PowerManager::class.java)).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
            camera.frame()
            parts.settle()
        },
        Scene("bundles") { bundles() },
        Scene("bundles of which one must be exported again") {
            bundles(street = outdated)
        },
        Scene("bundle to be deleted", open = { touch(R.string.bundle_delete_named, "street") }) { bundles() },
        Scene("import beside bundles") {
            bundles()
            importHalf()
        },
        Scene("check") { onCheck() },
        Scene("check without a model") {
            giveMemory(1)
            onCheck()
        },
        Scene("check without records") { onCheck { touch(R.string.check_start) } },
        Scene("check running") {
            onCheck()
            press(string(R.string.check_start))
            idle()
        },
        Scene("check interrupted") {
            checked()
            model().startCheck()
            model().stop()
            parts.settle()
        },
        Scene("check passed") { checked() },
        Scene("check found a difference") { checked(isSame = false) },
        Scene("capture failed") {
            checked()
            CaptureProvider.folder(app).deleteRecursively()
            CaptureProvider.folder(app).apply { delete() }.writeText("in the way")
            touch(R.string.check_share)
        },
        Scene("settings") { aiming().app.model.go(Screen.SETTINGS) },
        Scene("about") { aiming().app.model.go(Screen.ABOUT) },
    )

    /** What the demo's manifest says that a model needs. */
    val MEMORY = org.mobilevlmkit.core.check.CheckScene().manifest.memoryBytes

    /** Of before ExecuTorch programs were right on phones. */
    private val outdated = TestBundle(seed = 3) { it + ("format_version" to 1) }

    private fun Stage.bundles(street: TestBundle = TestBundle(seed = 2)) {
        push("street.mvlm", street)
        folder("broken.mvlm").mkdirs()
        aiming()
        model().go(Screen.BUNDLES)
        parts.settle()
    }
}
