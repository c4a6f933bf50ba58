package org.mobilevlmkit.core.live

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.pixels.Plane
import java.nio.ByteBuffer
import java.util.Random

class LiveModeTest {
    private val width = 320
    private val height = 240

    private fun frame(rowStride: Int = width, level: (x: Int, y: Int) -> Int): FrameSketch {
        val bytes = ByteArray(rowStride * height)
        for (y in 0 until height) for (x in 0 until width) bytes[y * rowStride + x] = level(x, y).coerceIn(0, 255).toByte()
        return FrameSketch.of(width, height, Plane(ByteBuffer.wrap(bytes), rowStride, 1))
    }

    private val desk = frame { x, y -> if (x in 40..140 && y in 60..200) 200 else 90 }
    private val window = frame { x, y -> if (x > 180 || y < 50) 230 else 40 }
    private val cool = PhoneCondition()

    @Test
    fun noiseAndLightAreNoChangeAnotherSceneIs() {
        val random = Random(1)
        val noisy = frame { x, y -> (if (x in 40..140 && y in 60..200) 200 else 90) + random.nextInt(31) - 15 }
        val brighter = frame { x, y -> (if (x in 40..140 && y in 60..200) 200 else 90) + 30 }
        val moved = frame { x, y -> if (x in 44..144 && y in 62..202) 200 else 90 }
        for (same in listOf(desk, noisy, brighter, moved)) {
            assertTrue("${desk.difference(same)}", desk.difference(same) < LivePolicy.CHANGED)
        }
        val taken = frame { _, _ -> 90 }
        for (other in listOf(window, taken)) assertTrue("${desk.difference(other)}", desk.difference(other) > LivePolicy.CHANGED)
        assertEquals(desk.difference(window), window.difference(desk), 1e-12)
    }

    @Test
    fun sixPercentOfWhiteIsAnotherScene() {
        val flat = frame { _, _ -> 100 }
        for ((levels, action) in listOf(15 to LiveAction.SKIP, 16 to LiveAction.DESCRIBE)) { // 5.9 % and 6.3 %
            val live = LiveMode()
            live.onFrame(flat, 0, cool)
            live.onAnswered(1_000)
            assertEquals(action, live.onFrame(frame { x, _ -> if (x < width / 2) 100 + levels else 100 - levels }, 9_000, cool))
        }
    }

    @Test
    fun stridesDoNotMatter() {
        assertEquals(0.0, desk.difference(frame(rowStride = 352) { x, y -> if (x in 40..140 && y in 60..200) 200 else 90 }), 0.0)
    }

    @Test
    fun aStillSceneIsDescribedOnce() {
        val live = LiveMode()
        assertEquals(LiveAction.DESCRIBE, live.onFrame(desk, 0, cool))
        assertEquals(LiveAction.SKIP, live.onFrame(desk, 100, cool))
        live.onAnswered(3_000)
        for (now in 3_000L..20_000L step 100) assertEquals(LiveAction.SKIP, live.onFrame(desk, now, cool))
        assertEquals(LiveAction.DESCRIBE, live.onFrame(window, 20_100, cool))
    }

    @Test
    fun aChangedSceneReplacesTheOneBeingDescribed() {
        val live = LiveMode()
        live.onFrame(desk, 0, cool)
        assertEquals(LiveAction.REPLACE, live.onFrame(window, 100, cool))
        assertEquals(LiveAction.SKIP, live.onFrame(window, 200, cool))
        live.onAnswered(2_000)
        assertEquals(LiveAction.SKIP, live.onFrame(window, 9_000, cool))
    }

    @Test
    fun aMovingCameraStillGetsAnswers() {
        val live = LiveMode()
        val actions = (0 until 20).map { live.onFrame(if (it % 2 == 0) desk else window, it * 100L, cool) }
        val expected = listOf(LiveAction.DESCRIBE) + List(LivePolicy.MAX_REPLACED) { LiveAction.REPLACE }
        assertEquals(expected, actions.filter { it != LiveAction.SKIP })
    }

    @Test
    fun warmthAndBatterySaverSlowItDown() {
        fun cooldowns(isBatterySaver: Boolean) = Thermal.values().map { LivePolicy.cooldownMs(PhoneCondition(it, isBatterySaver)) }
        assertEquals(listOf(500L, 2_000, 6_000, null, null, null, null), cooldowns(isBatterySaver = false))
        assertEquals(listOf(8_000L, 8_000, 12_000, null, null, null, null), cooldowns(isBatterySaver = true))
        assertNull(LivePolicy.cooldownMs(PhoneCondition(isInForeground = false)))
        val live = LiveMode()
        val warm = PhoneCondition(Thermal.MODERATE)
        live.onFrame(desk, 0, warm)
        live.onAnswered(1_000)
        assertEquals(LiveAction.SKIP, live.onFrame(window, 6_900, warm))
        assertEquals(LiveAction.DESCRIBE, live.onFrame(window, 7_000, warm))
    }

    @Test
    fun aHotPhoneAndTheBackgroundPauseItUntilTheyEnd() {
        val pausing = listOf(PhoneCondition(Thermal.SEVERE), PhoneCondition(Thermal.SHUTDOWN), PhoneCondition(isInForeground = false))
        for (condition in pausing) {
            val live = LiveMode()
            live.onFrame(desk, 0, cool)
            assertEquals(LiveAction.PAUSE, live.onFrame(desk, 100, condition))
            live.onAnswered(150) // of the stopped answer
            assertEquals(LiveAction.SKIP, live.onFrame(desk, 200, cool))
            assertEquals(LiveAction.DESCRIBE, live.onFrame(desk, 700, cool))
        }
    }

    @Test
    fun aSceneWhoseAnswerFailedIsDescribedAgain() {
        val live = LiveMode()
        live.onFrame(desk, 0, cool)
        live.onAnswered(1_000, isFailed = true)
        assertEquals(LiveAction.SKIP, live.onFrame(desk, 1_100, cool))
        assertEquals(LiveAction.DESCRIBE, live.onFrame(desk, 1_500, cool))
    }
}
