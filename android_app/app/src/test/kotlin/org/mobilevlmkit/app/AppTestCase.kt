package org.mobilevlmkit.app

import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Base class: the real activity with a fake engine, camera and threads, on a phone of 360 x 720 dp. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], application = TestApp::class, qualifiers = AppTestCase.PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class AppTestCase {
    protected val driver = AppDriver()
    protected val model get() = driver.app.model

    @Before
    fun memory() = driver.giveMemory(4L shl 30)

    companion object {
        const val PHONE = "en-rUS-w360dp-h720dp-port-notnight-hdpi"
    }
}
