package org.mobilevlmkit.app

import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The real activity, with a fake engine, camera and threads, on a phone of 360 x 720 dp. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], application = StagedApp::class, qualifiers = OnStage.PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class OnStage {
    protected val stage = Stage()
    protected val model get() = stage.app.model

    @Before
    fun memory() = stage.giveMemory(4L shl 30)

    companion object {
        const val PHONE = "en-rUS-w360dp-h720dp-port-notnight-hdpi"
    }
}
