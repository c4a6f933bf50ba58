package org.mobilevlmkit.app

import android.graphics.Typeface
import android.text.SpannableString
import android.text.Spanned
import android.text.format.Formatter
import android.text.style.StyleSpan
import android.view.View
import android.widget.ProgressBar
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.usable
import org.mobilevlmkit.core.check.Finding
import org.mobilevlmkit.core.check.Measurements
import org.mobilevlmkit.core.session.Phase

/** "Check this phone": parity with the desktop, speed, and a capture to share. */
class CheckScreen(private val ui: Ui, private val model: AppModel, private val actions: Actions) : ScreenView {
    private val start = ui.button(ui.string(R.string.check_start), isMain = true, onClick = model::startCheck)
    private val needsModel = ui.status().apply { text = ui.string(R.string.check_needs_model) }
    private val verdict = ui.status(20)
    private val failure = ui.text(color = R.color.problem)
    private val bar = ProgressBar(ui.context, null, android.R.attr.progressBarStyleHorizontal).apply { isIndeterminate = true }
    private val result = ui.card(verdict, failure, bar)
    private val lines = ui.card()
    private val figures = ui.card()
    private val share = ui.button(ui.string(R.string.check_share)) { model.capture(actions::shareCapture) }
    private val shareDetail = ui.text(ui.string(R.string.check_share_detail), 14, R.color.text_soft)
    private var rendered: CheckState? = null
    override val view: View = ui.page(
        ui.string(R.string.check_title),
        { model.back() },
        ui.text(ui.string(R.string.check_about)),
        start,
        needsModel,
        result,
        figures,
        lines,
        share,
        shareDetail,
    )

    override fun render(state: UiState) {
        val check = state.check
        start.shown(check?.isRunning != true)
        val canStart = state.session.phase in READY
        start.usable(canStart)
        needsModel.shown(check == null && !canStart)
        result.shown(check != null)
        bar.shown(check?.isRunning == true || check?.isCapturing == true)
        failure.shown(check?.failure != null)
        val canShare = check?.measurements != null
        figures.shown(canShare)
        lines.shown(check?.findings?.isNotEmpty() == true)
        share.shown(canShare && check?.isCapturing != true)
        shareDetail.shown(canShare)
        if (check == rendered) return
        rendered = check
        lines.removeAllViews()
        figures.removeAllViews()
        if (check == null) return
        verdict.say(verdictOf(check))
        val isBad = check.failure != null || check.findings.any { !it.same }
        verdict.setTextColor(ui.color(if (isBad) R.color.problem else R.color.text))
        result.background = ui.filled(if (isBad) R.color.problem_surface else R.color.bubble)
        failure.say(model.plain(check.failure ?: ""))
        for (line in check.findings) lines.addView(lineView(line))
        check.measurements?.let { show(it) }
    }

    private fun verdictOf(check: CheckState): String {
        val differing = check.findings.count { !it.same }
        return when {
            check.isCapturing -> ui.string(R.string.check_capturing)
            check.isRunning -> ui.string(R.string.check_running)
            check.failure != null -> ui.string(R.string.check_failed)
            check.measurements == null -> ui.string(R.string.check_interrupted)
            differing == 0 -> ui.string(R.string.check_same, check.findings.size)
            else -> ui.string(R.string.check_differs, differing, check.findings.size)
        }
    }

    /** One finding; for a difference, with the core's details. */
    private fun lineView(line: Finding): View {
        val stage = ui.string(STAGES[line.stage] ?: R.string.stage_answer)
        val found = ui.string(if (line.same) R.string.check_line_same else R.string.check_line_differs, line.picture, stage)
        val text = if (line.same) "✓ $found" else "✗ $found\n${line.detail}"
        return ui.text(text, 14, if (line.same) R.color.text else R.color.problem).apply {
            contentDescription = text.drop(2)
            setPadding(0, ui.dp(4), 0, ui.dp(4))
        }
    }

    private fun show(measured: Measurements) {
        val texts = listOf(
            ui.string(R.string.check_load, measured.loadS),
            ui.string(R.string.check_image, measured.imageEncodeS),
            ui.string(R.string.check_first, measured.firstTokenS),
            ui.string(R.string.check_speed, measured.decodeTokensPerS),
            ui.string(R.string.check_memory, Formatter.formatShortFileSize(ui.context, measured.peakBytes)),
            ui.string(R.string.check_thermal, ui.context.resources.getStringArray(R.array.thermal)[measured.thermalAfter.ordinal]),
        )
        for (text in texts) figures.addView(ui.text(emphasized(text)))
    }

    /** [text] with what follows its colon in bold. */
    private fun emphasized(text: String) = SpannableString(text).apply {
        val value = text.indexOfFirst { it in ":：" } + 1
        setSpan(StyleSpan(Typeface.BOLD), value, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
    }

    private companion object {
        /** User-facing names of the core's stages. */
        val STAGES = mapOf(
            "preprocessing" to R.string.stage_pixels,
            "tokenizer" to R.string.stage_prompt,
            "decoder" to R.string.stage_answer,
        )

        /** Phases in which a model is loaded. */
        val READY = setOf(Phase.READY, Phase.ENCODING, Phase.IMAGE_READY, Phase.ANSWERING)
    }
}
