package org.mobilevlmkit.app

import org.mobilevlmkit.core.session.ChatTurn

/** Keeps conversations as the user's settings say, and opens and deletes kept ones. For the main thread. */
class ConversationKeeper(private val dependencies: Dependencies, private val holder: StateHolder, private val pictures: Pictures) {
    private val files = dependencies.conversations
    private var kept: Pair<Long, List<ChatTurn>>? = null // what was written last, and when that conversation began

    /** Writes the conversation [turns] if an answer has ended since the last time. */
    fun keep(turns: List<ChatTurn>) {
        val picture = pictures.shown ?: return
        val most = dependencies.settings.keep.most
        val began = pictures.began
        if (most == 0 || turns.isEmpty() || turns.any { it.ended == null } || kept == began to turns) return
        kept = began to turns
        dependencies.io.execute {
            files.keep(began, picture, turns, most)
            count()
        }
    }

    fun count() = dependencies.io.execute {
        val count = files.count()
        dependencies.main.execute { holder.change { copy(keptConversations = count) } }
    }

    /** Lists them for the screen that shows them. */
    fun list() = dependencies.io.execute {
        val list = files.list()
        dependencies.main.execute { holder.change { copy(conversations = list, keptConversations = list.size) } }
    }

    /** Continues the conversation that began at [began], with whichever model is in use. */
    fun open(began: Long) = dependencies.io.execute {
        val turns = files.turns(began)
        dependencies.main.execute { pictures.read(turns, began) { files.picture(began) } }
    }

    fun delete(began: Long) {
        dependencies.io.execute { files.delete(began) }
        list()
    }

    fun deleteAll() {
        dependencies.io.execute { files.deleteAll() }
        list()
    }
}
