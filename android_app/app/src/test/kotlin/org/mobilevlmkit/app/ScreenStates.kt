package org.mobilevlmkit.app

import android.content.ComponentCallbacks2
import android.net.Uri
import android.os.PowerManager
import org.mobilevlmkit.core.bundle.TestBundle
import org.robolectric.Shadows.shadowOf

/**
 * A screen in one of its states.
 *
 * @property play reaches the state
 * @property open repeated whenever the activity is recreated, such as opening a dialog
 */
class ScreenState(val name: String, val open: AppDriver.() -> Unit = {}, val play: AppDriver.() -> Unit)

/** Every screen of the app in each state that looks different. */
object ScreenStates {
    private fun AppDriver.problem(call: String, says: String) = apply {
        dependencies.prepare = { it.meanwhile = { name -> if (name == call) error(says) } }
    }

    private fun AppDriver.onCheck(play: AppDriver.() -> Unit = {}): AppDriver = aiming().apply {
        model().go(Screen.CHECK)
        play()
        dependencies.settle()
    }

    private fun AppDriver.checked(isSame: Boolean = true): AppDriver {
        allowCamera()
        dependencies.prepare = { it.answers = { CheckedBundle.says } }
        CheckedBundle.writeTo(folder("demo.mvlm")) { index, record ->
            if (isSame || index == 0) record else record.copy(answer = CheckedBundle.OTHER_ANSWER)
        }
        start()
        model().go(Screen.CHECK)
        touch(R.string.check_start)
        return this
    }

    private fun AppDriver.live(): AppDriver = aiming().apply {
        model().startLive("Describe the image.")
        dependencies.settle()
    }

    private fun AppDriver.camera(problem: CameraProblem) = aiming().apply { camera.onProblem?.invoke(problem) }

    private fun AppDriver.model() = app.model

    val all = listOf(
        ScreenState("welcome") { start() },
        ScreenState("welcome with a packed bundle") {
            dependencies.packed = byteArrayOf(1)
            start()
        },
        ScreenState("welcome with a bundle that can't be read") {
            folder("broken.mvlm").mkdirs()
            start()
        },
        ScreenState("importing") { start().importHalf() },
        ScreenState("import failed") {
            start()
            app.model.import("broken.mvlm.zip") { byteArrayOf(1, 2, 3).inputStream() }
            dependencies.settle()
        },
        ScreenState("import of what must be exported again") {
            start()
            app.model.import("old.mvlm.zip", TestBundle.opening(outdated.zipped()))
            dependencies.settle()
        },
        ScreenState("camera to be allowed") {
            push()
            start()
        },
        ScreenState("camera denied") {
            push()
            start()
            model().onCamera(CameraState.DENIED)
        },
        ScreenState("no camera") { camera(CameraProblem.NO_CAMERA) },
        ScreenState("camera in use") { camera(CameraProblem.IN_USE) },
        ScreenState("camera failed") { camera(CameraProblem.FAILED) },
        ScreenState("aiming") { aiming() },
        ScreenState("aiming after a picture") { seen().touch(R.string.new_picture) },
        ScreenState("photo being read") {
            aiming()
            model().pick(Uri.parse("content://photos/1"))
        },
        ScreenState("photo that can't be used") {
            aiming()
            model().pick(Uri.parse("content://photos/1"))
            dependencies.settle()
        },
        ScreenState("loading") {
            aiming()
            leave()
            activity.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_BACKGROUND)
            dependencies.settle()
            controller.restart().start().resume()
            idle()
        },
        ScreenState("looking") {
            aiming()
            touch(R.string.shutter)
            camera.frame()
            idle()
        },
        ScreenState("seen") { seen() },
        ScreenState("a question waiting") {
            seen()
            field().text = "What is this?"
            press(string(R.string.send))
            idle()
        },
        ScreenState("enlarged") { seen().app.model.pictures.enlarge(true) },
        ScreenState("a part of a picture") {
            seen()
            model().pictures.askAboutPart(org.mobilevlmkit.core.camera.Crop(40, 40, 200, 100))
            dependencies.settle()
            model().setDetailsShown(true)
            ask("What is this?")
        },
        ScreenState("conversations") {
            Settings(app).keep = Keep.ALL
            seen()
            ask("What is this?")
            model().go(Screen.CONVERSATIONS)
            dependencies.settle()
        },
        ScreenState("answered") {
            seen()
            engine.answers = Scenery::answer
            ask("Read the word.")
            ask("Describe the image.")
        },
        ScreenState("answer stopped") {
            seen()
            engine.answers = { List(50) { "▁red" } }
            engine.meanwhile = { if (it == "piece 3") model().stop() }
            ask("What is this?")
        },
        ScreenState("answer failed") {
            seen()
            engine.meanwhile = { if (it == "piece 0") error("no kernel") }
            ask("What is this?")
        },
        ScreenState("speaking") {
            seen()
            ask("What is this?")
            model().onSpeaking("yes")
        },
        ScreenState("context full") {
            seen()
            ask(List(450) { "red" }.joinToString(" "))
        },
        ScreenState("too little memory") {
            giveMemory(1)
            aiming()
        },
        ScreenState("memory tight") {
            giveMemory(MEMORY * 11 / 10)
            seen()
        },
        ScreenState("engine failed") { problem("prefillImage", "no kernel for op").seen() },
        ScreenState("damaged bundle") {
            allowCamera()
            push()
            folder("demo.mvlm/model.pte").writeText("short")
            start()
        },
        ScreenState("a model that must be exported again") {
            allowCamera()
            push(bundle = outdated)
            start()
        },
        ScreenState("after a crash") {
            Settings(app).isEngineBusy = true
            aiming()
        },
        ScreenState("no model in use") {
            aiming()
            model().delete(state.bundles.single().copy(folder = folder("demo.mvlm")))
            model().go(Screen.CHAT)
        },
        ScreenState("live mode to be begun") { aiming().app.model.setLiveMode(true) },
        ScreenState("live mode looking") { live() },
        ScreenState("live mode answering") {
            live().engine.answers = Scenery::answer
            camera.frame()
            dependencies.settle()
        },
        ScreenState("live mode resting") {
            live()
            shadowOf(app.getSystemService(PowerManager::class.java)).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE)
            camera.frame()
            dependencies.settle()
        },
        ScreenState("bundles") { bundles() },
        ScreenState("bundles of which one must be exported again") {
            bundles(street = outdated)
        },
        ScreenState("bundle to be deleted", open = { touch(R.string.bundle_delete_named, "street") }) { bundles() },
        ScreenState("import next to bundles") {
            bundles()
            importHalf()
        },
        ScreenState("check") { onCheck() },
        ScreenState("check without a model") {
            giveMemory(1)
            onCheck()
        },
        ScreenState("check without records") { onCheck { touch(R.string.check_start) } },
        ScreenState("check running") {
            onCheck()
            press(string(R.string.check_start))
            idle()
        },
        ScreenState("check interrupted") {
            checked()
            model().startCheck()
            model().stop()
            dependencies.settle()
        },
        ScreenState("check passed") { checked() },
        ScreenState("check found a difference") { checked(isSame = false) },
        ScreenState("capture failed") {
            checked()
            CaptureProvider.folder(app).deleteRecursively()
            CaptureProvider.folder(app).apply { delete() }.writeText("in the way")
            touch(R.string.check_share)
        },
        ScreenState("settings") { aiming().app.model.go(Screen.SETTINGS) },
        ScreenState("about") { aiming().app.model.go(Screen.ABOUT) },
    )

    /** The memory need in the demo's manifest. */
    val MEMORY = org.mobilevlmkit.core.check.CheckFixture().manifest.memoryBytes

    /** A bundle of the old format that must be exported again. */
    private val outdated = TestBundle(seed = 3) { it + ("format_version" to 1) }

    private fun AppDriver.bundles(street: TestBundle = TestBundle(seed = 2)) {
        push("street.mvlm", street)
        folder("broken.mvlm").mkdirs()
        aiming()
        model().go(Screen.BUNDLES)
        dependencies.settle()
    }
}
