package org.mobilevlmkit.app

import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.ParameterizedRobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Every screen in every look: labelled, large enough to touch, with contrast, nothing cut off, in the user's language. */
@RunWith(ParameterizedRobolectricTestRunner::class)
@Config(sdk = [35], application = StagedApp::class, qualifiers = OnStage.PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class EveryScreenTest(private val name: String) {
    private class Look(val name: String, val qualifiers: String, val fontScale: Float = 1f, val isContrastJudged: Boolean = false)

    private val stage = Stage()

    @Before
    fun memory() = stage.giveMemory(4L shl 30)

    @Test
    fun isAccessibleInEveryLook() {
        val scene = Scenes.all.single { it.name == name }
        scene.play(stage)
        val faults = looks.flatMap { look ->
            stage.change(look.qualifiers, look.fontScale)
            scene.open(stage)
            val foreign = if ("zh" in look.qualifiers) English.left(stage) else emptyList()
            (Accessibility.faults(stage, look.isContrastJudged) + foreign).map { "${look.name}: $it" }
        }
        assertEquals(faults.joinToString("\n"), 0, faults.size)
    }

    companion object {
        private val looks = listOf(
            Look("phone", OnStage.PHONE, isContrastJudged = true),
            Look("small phone at night", "en-rUS-w320dp-h568dp-port-night-hdpi", isContrastJudged = true),
            Look("large letters", OnStage.PHONE, 2f),
            Look("landscape", "en-rUS-w720dp-h360dp-land-notnight-hdpi"),
            Look("Chinese", "zh-rCN-w360dp-h720dp-port-notnight-hdpi"),
            Look("Chinese, large letters, landscape, night", "zh-rCN-w720dp-h360dp-land-night-hdpi", 2f),
            Look("small tablet", "en-rUS-sw600dp-w600dp-h960dp-large-port-notnight-mdpi"),
            Look("Chinese tablet, landscape", "zh-rCN-sw800dp-w1280dp-h800dp-xlarge-land-notnight-mdpi"),
        )

        @JvmStatic
        @ParameterizedRobolectricTestRunner.Parameters(name = "{0}")
        fun scenes() = Scenes.all.map { arrayOf(it.name) }
    }
}

/** English where all should be Chinese. */
private object English {
    private val word = Regex("[A-Za-z]{2,}")

    /** Names, units and commands; the model knows English alone, so what it is asked is English too. */
    private val names =
        setOf("MobileVLM", "Kit", "VLM", "mvlm", "zip", "export", "push", "replay", "BUNDLE", "kB", "MB", "GB", "int", "demo")

    fun left(stage: Stage): List<String> {
        val quoted = quoted(stage)
        return stage.views().flatMap { listOf(it.contentDescription, (it as? TextView)?.text, (it as? TextView)?.hint) }
            .map { "${it ?: ""}" }
            .map { text -> quoted.fold(text) { left, said -> left.replace(said, "") } }
            .filter { text -> word.findAll(text).any { it.value !in names } }
            .map { "English: $it" }
    }

    /** What the user, the model, files, licences and causes say, each in its own words. */
    private fun quoted(stage: Stage): List<String> {
        val state = stage.state
        val session = state.session
        val live = listOfNotNull(state.live?.question, state.live?.answer)
        val said = session.turns.flatMap { listOf(it.question, it.answer) } + listOfNotNull(session.waitingQuestion) + live
        val causes = listOfNotNull(state.library.problem, state.pictureProblem, state.check?.failure, session.problem?.let(::cause)) +
            state.bundles.mapNotNull { it.problem } + state.check?.findings.orEmpty().map { it.detail }
        val shown = causes.map(stage.app.model::plain)
        val imported = listOfNotNull(state.library.importing, state.library.outdated)
        val files = state.bundles.map { it.name } + CheckedBundle.pictures.map { it.name } + imported
        val licences = stage.app.assets.open("NOTICE.txt").use { it.readBytes().toString(Charsets.UTF_8) }
        val quoted = said + shown + files + state.presets + stage.parts.settings.liveQuestion + licences
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
