package org.mobilevlmkit.app

import android.graphics.Bitmap
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.shadows.ShadowPopupMenu
import java.io.File

/** Conversations are kept only if the user wants it, and found again. */
class ConversationsTest : AppTestCase() {
    private var seen: Bitmap? = null
    private val folder get() = File(driver.app.filesDir, "conversations")

    private fun keep(choice: Keep) {
        driver.aiming()
        model.go(Screen.SETTINGS)
        driver.dependencies.settle()
        driver.touch(choice.label)
        driver.touch(R.string.back)
    }

    /** A conversation that begins a millisecond after the last. */
    private fun converse(vararg questions: String) {
        driver.dependencies.wall++
        driver.take()
        questions.forEach(driver::ask)
        seen = driver.state.picture
        driver.touch(R.string.new_picture)
    }

    private fun list() {
        driver.touch(R.string.menu)
        assertTrue(ShadowPopupMenu.getLatestPopupMenu().menu.performIdentifierAction(R.string.conversations, 0))
        driver.dependencies.settle()
    }

    @Test
    fun nothingIsKeptUnlessTheUserWantsIt() {
        driver.aiming()
        converse("What is my secret?")
        assertFalse(folder.exists())
        driver.touch(R.string.menu)
        assertNull(ShadowPopupMenu.getLatestPopupMenu().menu.findItem(R.string.conversations))
    }

    @Test
    fun oneIsFoundAgainAndContinued() {
        keep(Keep.LAST_10)
        converse("What is this?", "Why?")
        driver.app.die()
        driver.start()
        list()
        assertTrue(driver.isSeen(R.string.kept_here))
        val item = driver.views().single { it.isClickable && "${it.contentDescription}".startsWith("What is this?") }
        item.performClick()
        driver.dependencies.settle()
        assertEquals(listOf("What is this?", "Why?"), driver.state.session.turns.map { it.question })
        assertTrue(driver.state.picture!!.sameAs(seen))
        driver.ask("And now?")
        driver.touch(R.string.new_picture)
        list()
        assertEquals(1, driver.state.conversations.size)
        assertEquals(3, driver.dependencies.conversations.turns(driver.state.conversations.single().began).size)
    }

    @Test
    fun onlyTheNewestAreKept() {
        keep(Keep.LAST_10)
        repeat(12) { converse("Question $it?") }
        list()
        assertEquals((11 downTo 2).map { "Question $it?" }, driver.state.conversations.map { it.question })
    }

    @Test
    fun theyAreDeletedOneByOneOrAllTogether() {
        keep(Keep.ALL)
        repeat(3) { converse("Question $it?") }
        list()
        driver.touch(R.string.bundle_delete_named, "Question 1?")
        driver.touch(R.string.cancel)
        assertEquals(3, driver.state.conversations.size)
        driver.touch(R.string.bundle_delete_named, "Question 1?")
        driver.touch(R.string.bundle_delete)
        assertEquals(listOf("Question 2?", "Question 0?"), driver.state.conversations.map { it.question })
        driver.touch(R.string.delete_all)
        driver.touch(R.string.bundle_delete)
        assertEquals(Screen.CHAT to 0, driver.state.screen to driver.state.keptConversations)
        assertFalse(folder.exists())
    }

    @Test
    fun whatWasKeptStaysWhenThereIsNoRoomForMore() {
        keep(Keep.ALL)
        converse("Question 0?")
        driver.dependencies.wall++
        driver.take()
        driver.ask("Question 1?")
        val place = File(folder, "${driver.dependencies.wall}")
        assertTrue(File(place, "turns.json.part").mkdirs()) // nothing can be written there
        File(place, "turns.json.part/in the way").writeText("")
        driver.ask("And?")
        val kept = driver.dependencies.conversations
        assertEquals(listOf("Question 1?"), kept.turns(driver.dependencies.wall).map { it.question })
        assertEquals(2, kept.list().size)
    }

    @Test
    fun liveModeIsNotKept() {
        keep(Keep.ALL)
        driver.touch(R.string.live_label)
        driver.touch(R.string.live_start)
        driver.camera.frame()
        driver.dependencies.settle()
        assertEquals("yes", driver.state.live?.answer)
        assertEquals(0, driver.state.keptConversations)
    }
}
