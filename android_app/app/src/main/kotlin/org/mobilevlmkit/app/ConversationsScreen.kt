package org.mobilevlmkit.app

import android.app.AlertDialog
import android.text.format.DateUtils
import android.view.View
import android.widget.ImageView
import android.widget.LinearLayout
import org.mobilevlmkit.app.Ui.Companion.shown
import org.mobilevlmkit.app.Ui.Companion.weighted

/** The conversations that were kept, to open or delete. */
class ConversationsScreen(private val ui: Ui, private val model: AppModel) : ScreenView {
    private val list = ui.column(gap = 12)
    private val deleteAll = ui.button(ui.string(R.string.delete_all)) {
        confirm(ui.string(R.string.delete_all), model::deleteConversations)
    }
    private var rendered: List<KeptConversation>? = null
    override val view: View = ui.page(
        ui.string(R.string.conversations),
        { model.back() },
        ui.text(ui.string(R.string.kept_here), 14, R.color.text_soft),
        list,
        deleteAll,
    )

    override fun render(state: UiState) {
        deleteAll.shown(state.conversations.isNotEmpty())
        if (state.conversations === rendered) return
        rendered = state.conversations
        list.removeAllViews()
        state.conversations.forEach { list.addView(item(it)) }
    }

    private fun item(kept: KeptConversation): View {
        val format = DateUtils.FORMAT_SHOW_DATE or DateUtils.FORMAT_SHOW_TIME or DateUtils.FORMAT_ABBREV_ALL
        val date = DateUtils.formatDateTime(ui.context, kept.began, format)
        val thumbnail = ImageView(ui.context).apply {
            scaleType = ImageView.ScaleType.CENTER_CROP
            setImageBitmap(kept.thumbnail)
            importantForAccessibility = View.IMPORTANT_FOR_ACCESSIBILITY_NO
            background = ui.filled(R.color.surface, 12)
            clipToOutline = true
            layoutParams = LinearLayout.LayoutParams(ui.dp(64), ui.dp(64))
        }
        val texts = ui.column(ui.text(kept.question, 16), ui.text(date, 14, R.color.text_soft))
        val delete = ui.icon(R.drawable.ic_delete, ui.string(R.string.bundle_delete_named, kept.question), R.color.text_soft) {
            confirm(ui.string(R.string.bundle_delete_named, kept.question)) { model.conversations.delete(kept.began) }
        }
        return ui.row(thumbnail, texts.weighted(), delete, gap = 12).apply {
            background = ui.pressable(R.color.surface)
            setPadding(ui.dp(12), ui.dp(12), ui.dp(4), ui.dp(12))
            contentDescription = "${kept.question}, $date"
            setOnClickListener { model.openConversation(kept.began) }
        }
    }

    private fun confirm(what: String, delete: () -> Unit) {
        AlertDialog.Builder(ui.context)
            .setMessage(what)
            .setPositiveButton(R.string.bundle_delete) { _, _ -> delete() }
            .setNegativeButton(R.string.cancel, null)
            .show()
    }
}
