package org.mobilevlmkit.app

import android.app.AlertDialog
import android.view.Gravity
import android.view.View
import android.view.ViewGroup
import android.widget.FrameLayout
import android.widget.ImageView
import android.widget.ScrollView
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.weighted

/** The camera preview or the picture, with its actions. */
class PicturePane(private val ui: Ui, private val model: AppModel, private val actions: Actions) {
    /** Contains the camera preview. */
    val previewFrame = FrameLayout(ui.context).apply { contentDescription = ui.string(R.string.preview_label) }
    private val picture = ImageView(ui.context).apply {
        scaleType = ImageView.ScaleType.FIT_CENTER
        contentDescription = ui.string(R.string.picture_label)
    }
    private val notice = ui.text(color = R.color.on_frame).apply {
        gravity = Gravity.CENTER
        accessibilityLiveRegion = View.ACCESSIBILITY_LIVE_REGION_POLITE
    }
    private val noticeAction = ui.button("") { noticeDoes() }
    private var noticeDoes: () -> Unit = {}
    private val noticeBox = ui.column(notice, noticeAction, gap = 12).apply {
        gravity = Gravity.CENTER
        background = ui.filled(R.color.frame) // the camera preview may be behind it
        setPadding(ui.dp(24), ui.dp(16), ui.dp(24), ui.dp(16))
    }
    private val noticeScroll = ScrollView(ui.context).apply { addView(noticeBox) }
    private val shutter = ui.button("", ui.string(R.string.shutter), isMain = true, onClick = model::pressShutter).apply {
        background = ui.pressable(R.color.accent, 36)
        minimumWidth = ui.dp(72)
        text = "◉"
    }
    private val pick = ui.button(ui.string(R.string.pick_photo), ui.string(R.string.pick_photo_label), onClick = actions::pickPhoto)
    private val live = ui.button(ui.string(R.string.live), ui.string(R.string.live_label)) { askLive() }
    private val new = ui.button(ui.string(R.string.new_picture), onClick = model::newPicture)
    private val undo = ui.button(ui.string(R.string.undo_picture), ui.string(R.string.undo_picture_label), onClick = model::undoPicture)
    private val endLive = ui.button(ui.string(R.string.live_end), isMain = true, onClick = model::endLive)
    private val dark = ui.filled(R.color.frame)
    private val besides = ui.filled(R.color.surface) // for a picture of another shape
    private val frame = FrameLayout(ui.context).apply {
        clipToOutline = true
        addView(previewFrame, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(picture, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
        addView(noticeScroll, FrameLayout.LayoutParams(Ui.MATCH, Ui.WRAP, Gravity.CENTER))
    }
    val view: View = ui.column(
        frame.weighted(isColumn = true),
        ui.flow(pick, shutter, live, new, undo, endLive, isCentered = true).apply {
            setPadding(0, ui.dp(10), 0, ui.dp(6))
        },
    )

    fun render(state: UiState) {
        val isFrozen = state.picture != null
        frame.background = if (isFrozen) besides else dark
        picture.shown(isFrozen)
        if (isFrozen) picture.setImageBitmap(state.picture)
        previewFrame.shown(!isFrozen && state.camera == CameraState.OPEN)
        val isAiming = !isFrozen && state.live == null
        shutter.shown(isAiming && state.camera == CameraState.OPEN)
        live.shown(isAiming && state.camera == CameraState.OPEN)
        pick.shown(isAiming)
        new.shown(isFrozen)
        undo.shown(isAiming && state.hasPrevious)
        endLive.shown(state.live != null)
        renderNotice(state)
    }

    private fun renderNotice(state: UiState) {
        val text = when {
            state.isReadingPicture -> R.string.picture_reading
            state.picture != null -> null
            state.pictureProblem != null -> R.string.picture_failed
            else -> when (state.camera) {
                CameraState.OFF, CameraState.OPEN -> null
                CameraState.ASK_PERMISSION -> R.string.camera_ask
                CameraState.DENIED -> R.string.camera_denied
                CameraState.NO_CAMERA -> R.string.camera_none
                CameraState.IN_USE -> R.string.camera_in_use
                CameraState.FAILED -> R.string.camera_failed
            }
        }
        val isProblem = text == R.string.picture_failed
        noticeScroll.shown(text != null)
        if (text != null) notice.say(if (isProblem) "${ui.string(text)}\n${model.plain(state.pictureProblem ?: "")}" else ui.string(text))
        val (label, action) = when (state.camera) {
            CameraState.ASK_PERMISSION -> R.string.camera_allow to actions::allowCamera
            CameraState.DENIED -> R.string.camera_settings to actions::openSystemSettings
            CameraState.IN_USE, CameraState.FAILED -> R.string.camera_retry to actions::reopenCamera
            else -> null to {}
        }
        noticeAction.shown(label != null && !state.isReadingPicture && !isProblem)
        if (label != null) noticeAction.text = ui.string(label)
        noticeDoes = action
    }

    private fun askLive() {
        val question = ui.field(ui.string(R.string.live_question), 3).apply {
            setText(model.dependencies.settings.liveQuestion)
            contentDescription = ui.string(R.string.live_question)
        }
        val box = ui.column(ui.text(ui.string(R.string.live_question)), question, gap = 8).apply {
            setPadding(ui.dp(24), ui.dp(16), ui.dp(24), 0)
        }
        AlertDialog.Builder(ui.context)
            .setTitle(R.string.live_title)
            .setView(box)
            .setPositiveButton(R.string.live_start) { _, _ -> model.startLive(question.text.toString()) }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }

    /** Shows the camera's [preview], removing it from its previous parent. */
    fun place(preview: View) {
        if (preview.parent === previewFrame) return
        (preview.parent as? ViewGroup)?.removeView(preview)
        previewFrame.removeAllViews()
        previewFrame.addView(preview, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }
}
