package org.mobilevlmkit.enginehost

import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.pixels.ArrayPicture
import org.mobilevlmkit.core.seam.Seam
import org.mobilevlmkit.core.session.Conversation
import org.mobilevlmkit.core.session.ModelLoader
import java.io.File
import java.util.Random

/** Many questions about many pictures don't grow the process. */
class EngineGrowth {
    @Test
    fun threeHundredQuestionsAboutFiftyPicturesDoNotGrowMemory() {
        val model = ModelLoader("executorch", DesktopEngine, availableMemory = { Long.MAX_VALUE }).load(Seam.bundle, Job())
        val conversation = Conversation(model, System::nanoTime)
        val random = Random(1)
        val bytes = ArrayList<Long>()
        for (picture in 0..PICTURES) {
            if (picture > 0 && picture % STRETCH == 0) bytes.add(nativeBytes())
            if (picture == PICTURES) break
            val side = 100 + random.nextInt(200)
            conversation.start(model.pixels(ArrayPicture(side, side, IntArray(side * side) { random.nextInt() or (255 shl 24) })))
            repeat(QUESTIONS / PICTURES) { conversation.answer(emptyList(), "What is at the top left?", 16, { false }) {} }
        }
        model.release()
        // The JVM allocates some once, and memory freed in one stretch may return in another: a leak shows in most, and in all together.
        val grown = bytes.zipWithNext { before, after -> after - before }
        println("grown by ${grown.joinToString()} bytes in stretches of ${QUESTIONS / PICTURES * STRETCH} questions")
        val median = grown.sorted()[grown.size / 2]
        assertTrue("grew by $grown bytes", minOf(median, grown.sum() / grown.size) < 256L shl 10)
    }

    /** Private memory of the process without the JVM heap, which the command line fixes at one pre-touched size. */
    private fun nativeBytes(): Long {
        System.gc()
        val rollup = File("/proc/self/smaps_rollup").readLines()
        return rollup.filter { it.startsWith("Anonymous:") }.sumOf { it.filter(Char::isDigit).toLong() } * 1024
    }

    private companion object {
        const val PICTURES = 50
        const val QUESTIONS = 300

        /** Pictures between two memory readings; the first reading comes after a warm-up. */
        const val STRETCH = 10
    }
}
