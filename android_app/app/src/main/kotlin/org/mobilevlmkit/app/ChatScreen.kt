package org.mobilevlmkit.app

import android.view.Menu
import android.view.View
import android.widget.LinearLayout
import android.widget.PopupMenu
import org.mobilevlmkit.app.Ui.Companion.say
import org.mobilevlmkit.app.Ui.Companion.weighted

/** Picture and conversation: one above the other, or side by side on wide screens. */
class ChatScreen(private val ui: Ui, private val model: AppModel, actions: Actions) : ScreenView {
    val picture = PicturePane(ui, model, actions)
    private val conversation = ConversationPane(ui, model, actions)
    private val title = ui.heading("", 18)
    private val menu = ui.sign("⋮", ui.string(R.string.menu)) { openMenu() }
    private val bar = ui.row(title.weighted(), menu)
    override val view: View = if (ui.isWide) {
        val side = ui.column(bar, conversation.view.weighted(isColumn = true), gap = 8)
        LinearLayout(ui.context).apply {
            addView(picture.view, LinearLayout.LayoutParams(0, Ui.MATCH, 1f).apply { marginEnd = ui.dp(12) })
            addView(side, LinearLayout.LayoutParams(0, Ui.MATCH, 1f))
        }
    } else {
        ui.column(bar, picture.view.weighted(isColumn = true), conversation.view.weighted(isColumn = true), gap = 4)
    }

    init {
        view.setPadding(ui.dp(12), ui.dp(8), ui.dp(12), ui.dp(12))
    }

    override fun render(state: UiState) {
        val name = state.bundles.firstOrNull { it.folder.name == state.session.bundle }?.name
        title.say(name ?: ui.string(R.string.app_name))
        if (!ui.isWide) share(state)
        picture.render(state)
        conversation.render(state)
    }

    /** The camera takes most of the space until there is text to read; large fonts need more. */
    private fun share(state: UiState) {
        val isAiming = state.picture == null && state.live == null && state.session.problem == null && !state.hasCrashed
        val share = if (isAiming) {
            AIMING
        } else if (ui.context.resources.configuration.fontScale > LARGE) {
            READING_LARGE
        } else {
            READING
        }
        val layout = picture.view.layoutParams as LinearLayout.LayoutParams
        if (layout.weight == share) return
        layout.weight = share
        picture.view.requestLayout()
    }

    private fun openMenu() {
        val screens = listOf(
            R.string.menu_models to Screen.BUNDLES,
            R.string.menu_check to Screen.CHECK,
            R.string.menu_settings to Screen.SETTINGS,
            R.string.menu_about to Screen.ABOUT,
        )
        PopupMenu(ui.context, menu).apply {
            fun item(label: Int, onClick: () -> Unit) =
                getMenu().add(Menu.NONE, label, Menu.NONE, label).setOnMenuItemClickListener { onClick().let { true } }
            if (model.state.session.turns.isNotEmpty()) item(R.string.new_chat) { model.newChat() }
            for ((label, screen) in screens) item(label) { model.go(screen) }
            show()
        }
    }

    private companion object {
        /** The picture's layout weight; the conversation's is 1. */
        const val AIMING = 2.4f
        const val READING = 1f
        const val READING_LARGE = 0.6f

        /** The font scale from which text counts as large. */
        const val LARGE = 1.4f
    }
}
