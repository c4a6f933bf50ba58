package org.mobilevlmkit.app

import android.graphics.Rect
import android.view.Menu
import android.view.View
import android.widget.FrameLayout
import android.widget.PopupMenu
import org.mobilevlmkit.app.Ui.Companion.shown

/** The viewfinder, or a picture with the conversation about it, or that picture alone. */
class ChatScreen(private val ui: Ui, private val model: AppModel, private val actions: Actions) : ScreenView {
    private val camera = CameraPane(ui, model, actions, ::openMenu)
    private val conversation = ConversationPane(ui, model, actions, ::openMenu)
    private val viewer = PictureViewer(ui, model)
    override val view: View = FrameLayout(ui.context).apply {
        for (each in listOf(camera.view, conversation.view, viewer.view)) addView(each, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
    }

    fun place(preview: View) = camera.place(preview)

    fun dictated(text: String) = conversation.dictated(text)

    /** Only images reach the screen's edges; what is [covered] there holds no control. */
    override fun inset(covered: Rect) {
        camera.inset(covered)
        conversation.inset(covered)
        viewer.inset(covered)
    }

    override fun images(state: UiState) = when {
        state.picture == null || state.isEnlarged -> ImageEdges(above = true, below = true)
        else -> ImageEdges(above = !ui.isWide)
    }

    override fun render(state: UiState) {
        camera.view.shown(state.picture == null)
        conversation.view.shown(state.picture != null && !state.isEnlarged) // screen readers read what is shown
        viewer.view.shown(state.picture != null && state.isEnlarged)
        if (state.picture == null) camera.render(state) else conversation.render(state)
        viewer.render(state)
    }

    private fun openMenu(anchor: View) {
        val screens = listOf(
            R.string.menu_models to Screen.BUNDLES,
            R.string.menu_check to Screen.CHECK,
            R.string.menu_settings to Screen.SETTINGS,
            R.string.menu_about to Screen.ABOUT,
        )
        PopupMenu(ui.context, anchor).apply {
            fun item(label: Int, onClick: () -> Unit) =
                menu.add(Menu.NONE, label, Menu.NONE, label).setOnMenuItemClickListener { onClick().let { true } }
            if (model.state.picture != null && model.state.session.turns.isNotEmpty()) {
                item(R.string.new_chat) { model.newChat() }
                item(R.string.share_conversation) { actions.shareConversation() }
            }
            if (model.state.keptConversations > 0) item(R.string.conversations) { model.go(Screen.CONVERSATIONS) }
            for ((label, screen) in screens) item(label) { model.go(screen) }
            show()
        }
    }
}
