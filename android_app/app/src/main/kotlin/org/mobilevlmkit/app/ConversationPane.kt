package org.mobilevlmkit.app

import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.Rect
import android.text.Editable
import android.text.InputType
import android.text.TextWatcher
import android.view.Gravity
import android.view.KeyEvent
import android.view.View
import android.view.inputmethod.EditorInfo
import android.widget.FrameLayout
import android.widget.HorizontalScrollView
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ScrollView
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.usable
import org.mobilevlmkit.app.Ui.Companion.weighted
import org.mobilevlmkit.core.session.MemoryFit
import org.mobilevlmkit.core.session.Phase
import org.mobilevlmkit.core.session.Problem

/** A picture, the conversation about it as bubbles, and the next question: one below the other, or side by side on wide screens. */
class ConversationPane(private val ui: Ui, private val model: AppModel, private val actions: Actions, onMenu: (View) -> Unit) {
    private val picture = PictureHead(ui, model, onMenu)
    private val status = ui.status()
    private val warning = ui.text(ui.string(R.string.problem_memory_tight), 14, R.color.problem)
    private val problem = ProblemView(ui, model, ::askInNewChat)
    private val turns = ui.column(gap = 12)
    private val turnViews = ArrayList<TurnView>()
    private val content = ui.column(turns, problem.view, warning, status, gap = 12).apply {
        setPadding(ui.dp(16), ui.dp(16), ui.dp(16), ui.dp(8))
    }
    private val scroll = ScrollView(ui.context).apply {
        isVerticalScrollBarEnabled = false
        isFillViewport = true
        addView(content)
    }
    private val presets = LinearLayout(ui.context).apply { setPadding(ui.dp(16), 0, ui.dp(8), 0) }
    private val presetRow = HorizontalScrollView(ui.context).apply {
        contentDescription = ui.string(R.string.presets_label)
        isHorizontalScrollBarEnabled = false
        isHorizontalFadingEdgeEnabled = true // there are more
        setFadingEdgeLength(ui.dp(24))
        addView(presets)
    }
    private val question = ui.field(ui.string(R.string.question_hint), 4).apply {
        id = R.id.question
        // Wrapped, but with a key that sends instead of one that begins a new line.
        inputType = InputType.TYPE_CLASS_TEXT or InputType.TYPE_TEXT_FLAG_CAP_SENTENCES
        imeOptions = EditorInfo.IME_ACTION_SEND or EditorInfo.IME_FLAG_NO_EXTRACT_UI
        setHorizontallyScrolling(false)
        maxLines = 4
        background = ui.filled(R.color.surface, 24)
    }
    private val dictate = ui.icon(R.drawable.ic_mic, ui.string(R.string.dictate), R.color.text_soft, onClick = { actions.dictate() })
    private val send = ui.icon(R.drawable.ic_send, ui.string(R.string.send), R.color.on_accent, R.color.accent) { send() }
    private val stop = ui.icon(R.drawable.ic_stop, ui.string(R.string.stop), R.color.on_accent, R.color.accent) { model.stop() }
    private val input = ui.row(question.weighted(), dictate, send, stop, gap = 6).apply {
        gravity = Gravity.BOTTOM
        setPadding(ui.dp(16), ui.dp(8), ui.dp(12), ui.dp(12))
    }
    private val talk = ui.column(scroll.weighted(isColumn = true), presetRow, input)
    val view: View = if (ui.isWide) {
        LinearLayout(ui.context).apply {
            addView(picture.view, LinearLayout.LayoutParams(0, Ui.MATCH, 1f))
            addView(talk, LinearLayout.LayoutParams(0, Ui.MATCH, 1f))
        }
    } else {
        ui.column(picture.view.weighted(PICTURE, isColumn = true), talk.weighted(1 - PICTURE, isColumn = true))
    }
    private var hasNews = false // at the bottom, where the newest answer is
    private var shownPresets: List<String>? = null
    private var refused: String? = null // a question restored to the field

    init {
        view.setBackgroundColor(ui.color(R.color.background))
        talk.isFocusableInTouchMode = true // so that the field isn't focused, with its cursor on the hint, before it is touched
        content.addOnLayoutChangeListener { _, _, _, _, _, _, _, _, _ ->
            if (hasNews) scroll.post { scroll.smoothScrollTo(0, content.height) }
            hasNews = false
        }
        question.setOnEditorActionListener { _, action, event ->
            val isEnter = event?.keyCode == KeyEvent.KEYCODE_ENTER && event.action == KeyEvent.ACTION_DOWN
            if (action == EditorInfo.IME_ACTION_SEND || isEnter) send()
            true
        }
        question.addTextChangedListener(
            object : TextWatcher {
                override fun afterTextChanged(text: Editable) = renderInput(model.state)
                override fun beforeTextChanged(text: CharSequence, start: Int, count: Int, after: Int) = Unit
                override fun onTextChanged(text: CharSequence, start: Int, before: Int, count: Int) = Unit
            },
        )
    }

    /** Only the picture above the conversation may be under the bars; with the keyboard, it makes room. */
    fun inset(covered: Rect) {
        if (ui.isWide) {
            // A bar may be over the picture and the conversation, where no color of its icons suits both.
            view.setPadding(covered.left, covered.top, covered.right, covered.bottom)
            picture.inset(Rect())
            return
        }
        picture.inset(Rect(covered.left, covered.top, covered.right, 0))
        talk.setPadding(covered.left, 0, covered.right, covered.bottom)
        val isTyping = covered.bottom > ui.dp(KEYBOARD)
        val isLarge = ui.context.resources.configuration.fontScale > LARGE
        val share = if (isTyping || isLarge) PICTURE_SMALL else PICTURE
        (picture.view.layoutParams as LinearLayout.LayoutParams).weight = share
        (talk.layoutParams as LinearLayout.LayoutParams).weight = 1 - share
        view.requestLayout()
    }

    fun dictated(text: String) {
        val before = "${question.text}".trim()
        question.setText(if (before.isEmpty()) text else "$before $text")
        question.setSelection(question.text.length)
    }

    fun render(state: UiState) {
        val session = state.session
        picture.render(state)
        problem.render(state)
        warning.shown(session.memory == MemoryFit.TIGHT)
        renderTurns(state)
        val text = StateTexts(ui).conversation(state)
        status.shown(text.isNotEmpty())
        status.say(text)
        renderPresets(state.presets)
        renderInput(state)
        restoreQuestion((session.problem as? Problem.ContextFull)?.question)
    }

    private fun renderInput(state: UiState) {
        val isBusy = state.session.phase == Phase.ANSWERING || state.session.waitingQuestion != null
        send.shown(!isBusy)
        stop.shown(isBusy)
        send.usable(question.text.isNotBlank())
        dictate.shown(question.text.isEmpty() && !isBusy && actions.canDictate)
        presetRow.shown(!isBusy && question.text.isEmpty() && state.presets.isNotEmpty())
    }

    private fun renderTurns(state: UiState) {
        val new = state.session.turns
        while (turnViews.size > new.size) turns.removeView(turnViews.removeAt(turnViews.size - 1).view)
        while (turnViews.size < new.size) turnViews.add(TurnView(ui, model, actions).also { turns.addView(it.view) })
        new.forEachIndexed { index, turn -> hasNews = turnViews[index].render(turn, index == new.size - 1, state) || hasNews }
        turns.shown(new.isNotEmpty())
    }

    private fun renderPresets(new: List<String>) {
        if (new == shownPresets) return
        shownPresets = new
        presets.removeAllViews()
        for (preset in new) {
            val chip = ui.button(preset) { model.ask(preset) }
            chip.background = ui.outlined(24)
            presets.addView(chip, LinearLayout.LayoutParams(Ui.WRAP, Ui.WRAP).apply { marginEnd = ui.dp(8) })
        }
    }

    private fun send() {
        if (model.ask(question.text.toString())) question.setText("")
    }

    /** [question] didn't fit the context: restores it to the field so that it can be shortened. */
    private fun restoreQuestion(question: String?) {
        if (question == refused) return
        refused = question
        if (question != null && this.question.text.isEmpty()) this.question.setText(question)
    }

    private fun askInNewChat(question: String) {
        this.question.setText("")
        model.newChat(question)
    }

    private companion object {
        /** The picture's share of the height; smaller while typing and with large fonts. */
        const val PICTURE = 0.4f
        const val PICTURE_SMALL = 0.25f

        /** What is covered at the bottom by more than this, in dp, is covered by the keyboard. */
        const val KEYBOARD = 150

        /** The font scale from which text counts as large. */
        const val LARGE = 1.4f
    }
}

/** The picture, edge to edge, with buttons over it. A touch enlarges it. */
private class PictureHead(private val ui: Ui, private val model: AppModel, onMenu: (View) -> Unit) {
    private val picture = ImageView(ui.context).apply {
        scaleType = ImageView.ScaleType.FIT_CENTER
        contentDescription = ui.string(R.string.enlarge)
        setOnClickListener { model.pictures.enlarge(true) }
    }
    private val new = ui.cameraIcon(R.drawable.ic_camera, ui.string(R.string.new_picture)) { model.pictures.leave() }
    private val menu: View = ui.cameraIcon(R.drawable.ic_menu, ui.string(R.string.menu)) { onMenu(it) }
    private val whole = ui.button(ui.string(R.string.whole_picture)) { model.pictures.backToWhole() }.apply {
        background = ui.pressable(R.color.camera_card, 24)
        setTextColor(ui.color(R.color.on_camera))
    }
    private val bar = ui.row(new, ui.space(), menu)
    private val over = ui.column(bar, View(ui.context).weighted(isColumn = true)).apply {
        addView(whole, LinearLayout.LayoutParams(Ui.WRAP, Ui.WRAP).apply { gravity = Gravity.CENTER_HORIZONTAL })
    }
    val view: View = FrameLayout(ui.context).apply {
        contentDescription = ui.string(R.string.picture_label)
        for (each in listOf(picture, over)) addView(each, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }
    private var shown: Bitmap? = null

    fun inset(covered: Rect) {
        val side = ui.dp(8)
        over.setPadding(covered.left + side, covered.top + side, covered.right + side, covered.bottom + side)
    }

    fun render(state: UiState) {
        whole.shown(state.isPart)
        if (state.picture === shown) return
        shown = state.picture
        picture.setImageBitmap(state.picture)
        view.setBackgroundColor(state.picture?.let(::ground) ?: ui.color(R.color.frame))
    }

    /** The color beside [picture], where it leaves room: its mean, dark, so that the icons over it can be seen. */
    private fun ground(picture: Bitmap): Int {
        fun along(length: Int) = (0 until SAMPLES).map { (2 * it + 1) * length / (2 * SAMPLES) }
        val pixels = along(picture.height).flatMap { y -> along(picture.width).map { x -> picture.getPixel(x, y) } }
        fun dark(part: (Int) -> Int) = (pixels.map(part).average() * DARKNESS).toInt()
        return Color.rgb(dark(Color::red), dark(Color::green), dark(Color::blue))
    }

    private companion object {
        /** In each direction. */
        const val SAMPLES = 16
        const val DARKNESS = 0.35f
    }
}
