package org.mobilevlmkit.app

import android.annotation.SuppressLint
import android.graphics.Rect
import android.text.InputType
import android.view.Gravity
import android.view.HapticFeedbackConstants
import android.view.MotionEvent
import android.view.View
import android.view.ViewGroup
import android.view.inputmethod.EditorInfo
import android.widget.Button
import android.widget.FrameLayout
import android.widget.LinearLayout
import android.widget.ScrollView
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.weighted
import org.mobilevlmkit.core.session.MemoryFit

/** The viewfinder, which fills the screen, with its controls over it: for a photo, or for live mode. */
class CameraPane(private val ui: Ui, private val model: AppModel, private val actions: Actions, onMenu: (View) -> Unit) {
    private val viewfinder = FrameLayout(ui.context).apply { contentDescription = ui.string(R.string.preview_label) }
    private val ring = FocusRing(ui)

    // Above.
    private val title = ui.text(sp = 16, color = R.color.on_camera)
    private val torch = ui.cameraIcon(R.drawable.ic_torch, "") { model.adjust { copy(isTorchOn = !isTorchOn) } }
    private val menu: View = ui.cameraIcon(R.drawable.ic_menu, ui.string(R.string.menu)) { onMenu(it) }
    private val above = ui.row(title.weighted(), torch, menu).apply {
        background = ui.shade(isFromTop = true)
        setPadding(ui.dp(16), ui.dp(8), ui.dp(8), ui.dp(16))
    }

    // Between: what stands in the way of asking, or live mode's answer.
    private val problem = ProblemView(ui, model) { model.newChat(it) }
    private val notice = CameraNotice(ui, model, actions)
    private val live = LiveView(ui)
    private val middle = ui.column(problem.view, notice.view, live.view, gap = 12).apply {
        setPadding(ui.dp(16), 0, ui.dp(16), ui.dp(8))
    }
    private val middleScroll = ScrollView(ui.context).apply {
        isFillViewport = true
        addView(middle)
    }

    // Below.
    private val status = ui.status().apply {
        setTextColor(ui.color(R.color.on_camera))
        background = ui.filled(R.color.camera_chip, 18)
        setPadding(ui.dp(14), ui.dp(6), ui.dp(14), ui.dp(6))
    }
    private val warning = ui.text(ui.string(R.string.problem_memory_tight), 14, R.color.on_camera).apply {
        background = ui.filled(R.color.camera_chip, 18)
        setPadding(ui.dp(14), ui.dp(6), ui.dp(14), ui.dp(6))
    }
    private val question = ui.field(ui.string(R.string.live_question), 3).apply {
        id = R.id.live_question
        setText(model.dependencies.settings.liveQuestion)
        contentDescription = ui.string(R.string.live_question)
        setTextColor(ui.color(R.color.on_camera))
        setHintTextColor(ui.color(R.color.on_camera))
        background = ui.filled(R.color.camera_chip, 24)
        inputType = InputType.TYPE_CLASS_TEXT or InputType.TYPE_TEXT_FLAG_CAP_SENTENCES
        setHorizontallyScrolling(false)
        maxLines = 3
        imeOptions = EditorInfo.IME_ACTION_DONE
    }
    private val photoMode = mode(R.string.pick_photo, null) { model.setLiveMode(false) }
    private val liveMode = mode(R.string.live, R.string.live_label) { model.setLiveMode(true) }
    private val modes = ui.row(photoMode, liveMode, gap = 0).apply {
        background = ui.filled(R.color.camera_chip, 24)
        showDividers = LinearLayout.SHOW_DIVIDER_NONE
    }
    private val shutter = ui.shutter { press(it) }
    private val pick = ui.cameraIcon(R.drawable.ic_photo, ui.string(R.string.pick_photo_label)) { actions.pickPhoto() }
    private val switch = ui.cameraIcon(R.drawable.ic_switch_camera, ui.string(R.string.switch_camera)) { model.switchCamera() }
    private val undo = ui.cameraIcon(R.drawable.ic_undo, ui.string(R.string.undo_picture_label)) { model.pictures.undo() }
    private val controls = controls()
    private val texts = ui.column(centered(warning), centered(status), question, centered(modes), gap = 12)
    private val content: View = if (ui.isWide) {
        texts.setPadding(ui.dp(16), 0, ui.dp(16), ui.dp(12))
        val left = ui.column(above, middleScroll.weighted(isColumn = true), texts)
        LinearLayout(ui.context).apply {
            addView(left, LinearLayout.LayoutParams(0, Ui.MATCH, 1f))
            addView(controls, LinearLayout.LayoutParams(Ui.WRAP, Ui.MATCH))
        }
    } else {
        val below = ui.column(texts, gap = 16).apply {
            addView(controls)
            background = ui.shade(isFromTop = false)
            setPadding(ui.dp(16), ui.dp(24), ui.dp(16), ui.dp(16))
        }
        ui.column(above, middleScroll.weighted(isColumn = true), below)
    }
    val view: View = FrameLayout(ui.context).apply {
        setBackgroundColor(ui.color(R.color.frame))
        addView(viewfinder, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(ring, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(content, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }

    init {
        val touch = ViewfinderTouch(ui, model) { x, y -> ring.show(x, y) }
        @SuppressLint("ClickableViewAccessibility") // the camera focuses by itself
        viewfinder.setOnTouchListener(touch)
        // The space between is the viewfinder's, except where there is something to read.
        middleScroll.setOnTouchListener { _, event -> isMiddleEmpty && touch.onTouch(viewfinder, onViewfinder(event)) }
    }

    /** A touch of the space between, in the viewfinder's coordinates. */
    private fun onViewfinder(event: MotionEvent): MotionEvent {
        val place = Rect()
        (view as ViewGroup).offsetDescendantRectToMyCoords(middleScroll, place)
        return MotionEvent.obtain(event).apply { offsetLocation(place.left.toFloat(), place.top.toFloat()) }
    }

    private val isMiddleEmpty get() = listOf(problem.view, notice.view, live.view).all { it.visibility == View.GONE }

    /** Keeps the controls, not the image, from under the system's bars. */
    fun inset(covered: Rect) = content.setPadding(covered.left, covered.top, covered.right, covered.bottom)

    fun render(state: UiState) {
        val isOpen = state.camera == CameraState.OPEN
        val isLive = state.isLiveMode
        title.say(state.modelName ?: ui.string(R.string.app_name))
        torch.shown(isOpen && state.traits.hasTorch)
        torch.setImageResource(if (state.controls.isTorchOn) R.drawable.ic_torch_off else R.drawable.ic_torch)
        torch.contentDescription = ui.string(if (state.controls.isTorchOn) R.string.torch_off else R.string.torch_on)
        viewfinder.shown(isOpen)
        problem.render(state)
        notice.render(state)
        warning.shown(!problem.isShown && state.session.memory == MemoryFit.TIGHT)
        val text = StateTexts(ui).camera(state)
        status.say(text)
        status.shown(text.isNotEmpty())
        live.render(state)
        middle.gravity = if (state.live == null) Gravity.CENTER else Gravity.BOTTOM
        question.shown(isLive && state.live == null && isOpen)
        modes.shown(isOpen && state.live == null)
        mark(photoMode, !isLive)
        mark(liveMode, isLive)
        shutter.shown(isOpen)
        shutter.contentDescription = ui.string(
            if (!isLive) {
                R.string.shutter
            } else if (state.live == null) {
                R.string.live_start
            } else {
                R.string.live_end
            },
        )
        ui.drawShutter(shutter, isLive, state.live != null)
        pick.shown(state.live == null)
        switch.shown(isOpen && state.traits.canSwitch && state.live == null)
        undo.shown(state.hasPrevious && state.live == null)
    }

    private fun press(view: View) {
        view.performHapticFeedback(HapticFeedbackConstants.VIRTUAL_KEY)
        when {
            model.state.live != null -> model.endLive()
            model.state.isLiveMode -> model.startLive("${question.text}")
            else -> model.pressShutter()
        }
    }

    /** Two buttons at each side of the shutter, which stays in the middle. */
    private fun controls(): View {
        fun side(vararg views: View) = LinearLayout(ui.context).apply {
            orientation = if (ui.isWide) LinearLayout.VERTICAL else LinearLayout.HORIZONTAL
            gravity = Gravity.CENTER
            views.forEach {
                addView(
                    it,
                    LinearLayout.LayoutParams(ui.dp(SIDE), ui.dp(SIDE)).apply {
                        setMargins(ui.dp(2), ui.dp(2), ui.dp(2), ui.dp(2))
                    },
                )
            }
        }
        val line = LinearLayout(ui.context).apply {
            orientation = if (ui.isWide) LinearLayout.VERTICAL else LinearLayout.HORIZONTAL
            gravity = Gravity.CENTER
        }
        fun share(view: View) =
            line.addView(view, if (ui.isWide) LinearLayout.LayoutParams(Ui.MATCH, 0, 1f) else LinearLayout.LayoutParams(0, Ui.WRAP, 1f))
        val (first, last) = side(pick, undo) to side(switch)
        share(if (ui.isWide) last else first)
        line.addView(shutter, LinearLayout.LayoutParams(ui.dp(SHUTTER), ui.dp(SHUTTER)))
        share(if (ui.isWide) first else last)
        if (!ui.isWide) return line
        line.setPadding(ui.dp(12), ui.dp(12), ui.dp(12), ui.dp(12))
        line.setBackgroundColor(ui.color(R.color.camera_shade))
        return line
    }

    private fun mode(label: Int, description: Int?, onClick: () -> Unit) =
        ui.button(ui.string(label), description?.let { ui.string(it) }, onClick = onClick)

    private fun mark(button: Button, isOn: Boolean) {
        if (button.isSelected == isOn && button.tag != null) return
        button.tag = "marked"
        button.isSelected = isOn
        button.background = ui.pressable(if (isOn) R.color.on_camera else R.color.clear, 24)
        button.setTextColor(ui.color(if (isOn) R.color.frame else R.color.on_camera))
    }

    private fun centered(view: View) = ui.column().apply {
        addView(view, LinearLayout.LayoutParams(Ui.WRAP, Ui.WRAP).apply { gravity = Gravity.CENTER_HORIZONTAL })
    }

    /** Shows the camera's [preview], removing it from its previous parent. */
    fun place(preview: View) {
        if (preview.parent === viewfinder) return
        (preview.parent as? ViewGroup)?.removeView(preview)
        viewfinder.removeAllViews()
        viewfinder.addView(preview, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }

    private companion object {
        /** In dp. */
        const val SHUTTER = 72
        const val SIDE = 48
    }
}

/** Why there is no image from the camera, or that a picture is being read, and what to do about it. */
private class CameraNotice(private val ui: Ui, private val model: AppModel, private val actions: Actions) {
    private val text = ui.text(color = R.color.on_camera).apply {
        gravity = Gravity.CENTER
        accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
    }
    private val button = ui.button("", isMain = true) { act() }
    private var act: () -> Unit = {}
    val view = ui.column(text, button, gap = 12).apply {
        gravity = Gravity.CENTER
        background = ui.filled(R.color.camera_card, 20)
        setPadding(ui.dp(24), ui.dp(20), ui.dp(24), ui.dp(20))
    }

    fun render(state: UiState) {
        val shown = StateTexts(ui).picture(state, model::plain)
        view.shown(shown != null)
        text.say(shown ?: "")
        val (label, action) = when (state.camera) {
            CameraState.ASK_PERMISSION -> R.string.camera_allow to actions::allowCamera
            CameraState.DENIED -> R.string.camera_settings to actions::openSystemSettings
            CameraState.IN_USE, CameraState.TOO_HOT, CameraState.FAILED -> R.string.camera_retry to actions::reopenCamera
            else -> null to {}
        }
        button.shown(label != null && !state.isReadingPicture && state.pictureProblem == null)
        if (label != null) button.text = ui.string(label)
        act = action
    }
}
