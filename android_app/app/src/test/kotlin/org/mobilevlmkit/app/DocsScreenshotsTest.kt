package org.mobilevlmkit.app

import org.junit.Assert.assertTrue
import org.junit.Test

/** Makes the screenshots of docs/images in android_app/build/screenshots, with a picture and answers of the demo model. */
class DocsScreenshotsTest : AppTestCase() {
    private val tablet = "en-rUS-sw800dp-w1280dp-h800dp-xlarge-land-notnight-mdpi"

    private fun screen(name: String) = ScreenStates.all.single { it.name == name }.play(driver)

    private fun draw(name: String, sees: String) {
        assertTrue(driver.texts(), sees in driver.texts())
        driver.screenshot("android-$name")
    }

    @Test
    fun firstScreen() {
        screen("welcome")
        draw("welcome", driver.string(R.string.welcome_private))
    }

    @Test
    fun anAnswer() {
        screen("answered")
        draw("answer", "A red circle in the center")
        driver.change("en-rUS-w360dp-h720dp-port-night-hdpi")
        draw("night", "A red circle in the center")
        driver.change(AppTestCase.PHONE, 2f)
        draw("large", "A red circle in the center")
        driver.change("zh-rCN-w360dp-h720dp-port-notnight-hdpi")
        draw("chinese", "你：Describe the image.")
        driver.change(tablet)
        draw("tablet", "A red circle in the center")
        driver.change("en-rUS-w720dp-h360dp-land-notnight-hdpi")
        draw("landscape", "A red circle in the center")
    }

    @Test
    fun liveMode() {
        screen("live mode answering")
        draw("live", "A red circle in the center")
    }

    @Test
    fun check() {
        screen("check found a difference")
        draw("check", "✗")
    }

    @Test
    fun bundles() {
        driver.push("street.mvlm", org.mobilevlmkit.core.bundle.TestBundle(seed = 2, programBytes = 1_500_000))
        driver.aiming()
        model.go(Screen.BUNDLES)
        driver.dependencies.settle()
        draw("bundles", "street")
    }
}
