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

/** Many questions about many pictures leave the process as large as it was. */
class EngineGrowth {
    @Test
    fun threeHundredQuestionsAboutFiftyPicturesTakeNoMemory() {
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
        // The JVM takes some once; a leak shows in every stretch.
        val grown = bytes.zipWithNext { before, after -> after - before }
        println("grown by ${grown.joinToString()} bytes in stretches of ${QUESTIONS / PICTURES * STRETCH} questions")
        assertTrue("grew by $grown bytes", grown.sorted()[grown.size / 2] < 256L shl 10)
    }

    /** Private memory of the process but for the JVM's own heap, which the command line keeps at one size, touched from the beginning. */
    private fun nativeBytes(): Long {
        System.gc()
        val rollup = File("/proc/self/smaps_rollup").readLines()
        return rollup.filter { it.startsWith("Anonymous:") }.sumOf { it.filter(Char::isDigit).toLong() } * 1024
    }

    private companion object {
        const val PICTURES = 50
        const val QUESTIONS = 300

        /** Pictures between two looks at the memory; before the first, everything has been used once. */
        const val STRETCH = 10
    }
}
