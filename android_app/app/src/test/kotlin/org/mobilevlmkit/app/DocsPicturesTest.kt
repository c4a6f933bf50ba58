package org.mobilevlmkit.app

import org.junit.Assert.assertTrue
import org.junit.Test

/** The pictures of docs/images, in android_app/build/screenshots: the picture is one of the demo's, the answers are the demo model's. */
class DocsPicturesTest : OnStage() {
    private val tablet = "en-rUS-sw800dp-w1280dp-h800dp-xlarge-land-notnight-mdpi"

    private fun scene(name: String) = Scenes.all.single { it.name == name }.play(stage)

    private fun draw(name: String, sees: String) {
        assertTrue(stage.texts(), sees in stage.texts())
        stage.screenshot("android-$name")
    }

    @Test
    fun firstScreen() {
        scene("welcome")
        draw("welcome", stage.string(R.string.welcome_private))
    }

    @Test
    fun anAnswer() {
        scene("answered")
        draw("answer", "A red circle in the center")
        stage.change("en-rUS-w360dp-h720dp-port-night-hdpi")
        draw("night", "A red circle in the center")
        stage.change(OnStage.PHONE, 2f)
        draw("large", "A red circle in the center")
        stage.change("zh-rCN-w360dp-h720dp-port-notnight-hdpi")
        draw("chinese", "你：Describe the image.")
        stage.change(tablet)
        draw("tablet", "A red circle in the center")
        stage.change("en-rUS-w720dp-h360dp-land-notnight-hdpi")
        draw("landscape", "A red circle in the center")
    }

    @Test
    fun liveMode() {
        scene("live mode answering")
        draw("live", "A red circle in the center")
    }

    @Test
    fun check() {
        scene("check found a difference")
        draw("check", "✗")
    }

    @Test
    fun bundles() {
        stage.push("street.mvlm", org.mobilevlmkit.core.bundle.TestBundle(seed = 2, programBytes = 1_500_000))
        stage.aiming()
        model.go(Screen.BUNDLES)
        stage.parts.settle()
        draw("bundles", "street")
    }
}
