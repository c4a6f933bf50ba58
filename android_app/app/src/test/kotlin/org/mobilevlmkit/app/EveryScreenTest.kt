package org.mobilevlmkit.app

import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.ParameterizedRobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Checks every screen in every configuration: labels, touch targets, contrast, clipping, and language. */
@RunWith(ParameterizedRobolectricTestRunner::class)
@Config(sdk = [35], application = TestApp::class, qualifiers = AppTestCase.PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class EveryScreenTest(private val name: String) {
    private class Look(val name: String, val qualifiers: String, val fontScale: Float = 1f, val isContrastJudged: Boolean = false)

    private val driver = AppDriver()

    @Before
    fun memory() = driver.giveMemory(4L shl 30)

    @Test
    fun isAccessibleInEveryLook() {
        val screenState = ScreenStates.all.single { it.name == name }
        screenState.play(driver)
        val faults = looks.flatMap { look ->
            driver.change(look.qualifiers, look.fontScale)
            screenState.open(driver)
            val foreign = if ("zh" in look.qualifiers) English.left(driver) else emptyList()
            (Accessibility.faults(driver, look.isContrastJudged) + foreign).map { "${look.name}: $it" }
        }
        assertEquals(faults.joinToString("\n"), 0, faults.size)
    }

    companion object {
        private val looks = listOf(
            Look("phone", AppTestCase.PHONE, isContrastJudged = true),
            Look("small phone at night", "en-rUS-w320dp-h568dp-port-night-hdpi", isContrastJudged = true),
            Look("large letters", AppTestCase.PHONE, 2f),
            Look("landscape", "en-rUS-w720dp-h360dp-land-notnight-hdpi"),
            Look("Chinese", "zh-rCN-w360dp-h720dp-port-notnight-hdpi"),
            Look("Chinese, large letters, landscape, night", "zh-rCN-w720dp-h360dp-land-night-hdpi", 2f),
            Look("small tablet", "en-rUS-sw600dp-w600dp-h960dp-large-port-notnight-mdpi"),
            Look("Chinese tablet, landscape", "zh-rCN-sw800dp-w1280dp-h800dp-xlarge-land-notnight-mdpi"),
        )

        @JvmStatic
        @ParameterizedRobolectricTestRunner.Parameters(name = "{0}")
        fun states() = ScreenStates.all.map { arrayOf(it.name) }
    }
}

/** Finds English text on Chinese screens. */
private object English {
    private val word = Regex("[A-Za-z]{2,}")

    /** Names, units and commands. Questions are English too, because the model only knows English. */
    private val names =
        setOf("MobileVLM", "Kit", "VLM", "mvlm", "zip", "export", "push", "replay", "BUNDLE", "kB", "MB", "GB", "int", "demo")

    fun left(driver: AppDriver): List<String> {
        val quoted = quoted(driver)
        return driver.views().flatMap { listOf(it.contentDescription, (it as? TextView)?.text, (it as? TextView)?.hint) }
            .map { "${it ?: ""}" }
            .map { text -> quoted.fold(text) { left, said -> left.replace(said, "") } }
            .filter { text -> word.findAll(text).any { it.value !in names } }
            .map { "English: $it" }
    }

    /** Texts of the user, the model, files, licenses and error causes, which aren't translated. */
    private fun quoted(driver: AppDriver): List<String> {
        val state = driver.state
        val session = state.session
        val live = listOfNotNull(state.live?.question, state.live?.answer)
        val said = session.turns.flatMap { listOf(it.question, it.answer) } + listOfNotNull(session.waitingQuestion) + live
        val causes = listOfNotNull(state.library.problem, state.pictureProblem, state.check?.failure, session.problem?.let(::cause)) +
            state.bundles.mapNotNull { it.problem } + state.check?.findings.orEmpty().map { it.detail }
        val shown = causes.map(driver.app.model::plain)
        val imported = listOfNotNull(state.library.importing, state.library.outdated)
        val files = state.bundles.map { it.name } + CheckedBundle.pictures.map { it.name } + imported
        val licenses = driver.app.assets.open("NOTICE.txt").use { it.readBytes().toString(Charsets.UTF_8) }
        val quoted = said + shown + files + state.presets + driver.dependencies.settings.liveQuestion +
            driver.string(R.string.settings_guide_question) + driver.state.conversations.map { it.question } + licenses
        return quoted.filter { it.isNotEmpty() }.sortedByDescending { it.length }
    }

    private fun cause(problem: org.mobilevlmkit.core.session.Problem): String? = when (problem) {
        is org.mobilevlmkit.core.session.Problem.Bundle -> problem.message
        is org.mobilevlmkit.core.session.Problem.Engine -> problem.message
        is org.mobilevlmkit.core.session.Problem.ContextFull -> problem.question
        is org.mobilevlmkit.core.session.Problem.Check -> problem.message
        is org.mobilevlmkit.core.session.Problem.Input -> problem.message
        is org.mobilevlmkit.core.session.Problem.Memory, is org.mobilevlmkit.core.session.Problem.Outdated -> null
    }
}
