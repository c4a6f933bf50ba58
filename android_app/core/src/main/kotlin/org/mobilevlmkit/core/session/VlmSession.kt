package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.pixels.Picture
import java.io.File
import java.util.concurrent.Executor

/**
 * A bundle, a picture and a conversation about it: the state that one screen shows.
 *
 * What the user wants is noted at once, from any thread; [worker] brings it about, one step after another: load, look, answer. A new
 * request overtakes those that haven't begun and stops the answer that it makes idle. So whatever comes in whatever order, the session
 * ends where the last request points.
 *
 * @param load verifies and loads a bundle ([ModelLoader.load])
 * @param worker runs one task at a time, in order
 * @param nanoTime a clock in nanoseconds
 * @param listener is given every new state in order, under the session's lock: it must only hand it on
 */
class VlmSession(
    load: (File, Job) -> LoadedModel,
    worker: Executor,
    nanoTime: () -> Long = System::nanoTime,
    listener: (SessionState) -> Unit,
) {
    private val session = SessionModel(listener)
    private val steps = SessionWorker(session, load, worker, nanoTime)

    /** The newest state. */
    val state: SessionState get() = session.locked { published }

    /** Uses the bundle in [folder] from now on; picture and conversation of another bundle are forgotten. */
    fun open(folder: File) = request {
        openCount++
        if (folder == requestedBundle && !hasFailedToLoad) return@request
        if (folder != requestedBundle) forgetPicture()
        cancelCheck()
        requestedBundle = folder
        hasFailedToLoad = false
        problem = null
        loading?.cancel()
    }

    /** Forgets bundle, picture and conversation, and frees the model; also while it loads. */
    fun close() = request {
        openCount++
        forgetPicture()
        cancelCheck()
        requestedBundle = null
        hasFailedToLoad = false
        isReleased = false
        problem = null
        loading?.cancel()
    }

    /**
     * A new picture, with a [question] about it or none yet: it is encoded while the user types. It must not change any more.
     * Returns the picture's number: [SessionState.picture] as long as the state is about it.
     */
    fun show(picture: Picture, question: String? = null, maxNewTokens: Int = MAX_NEW_TOKENS): Int = request {
        forgetPicture()
        cancelCheck()
        newPicture = picture
        forgetProblem()
        if (!question.isNullOrBlank()) this.question = Question(question, maxNewTokens)
        pictureNumber
    }

    /**
     * A picture about which [said] was said before, such as when the system has ended the app meanwhile; turns without an end are left out.
     */
    fun resume(picture: Picture, said: List<ChatTurn>) = request {
        forgetPicture()
        cancelCheck()
        newPicture = picture
        turns = said.filter { it.ended != null }
        problem = null
    }

    /**
     * Asks [question] about the picture, once it is encoded. Returns false, and changes nothing, if the question is blank, there is no
     * picture, or another question is being answered.
     */
    fun ask(question: String, maxNewTokens: Int = MAX_NEW_TOKENS): Boolean = request {
        val hasPicture = newPicture != null || pixels != null
        // An answer that has ended counts no more, though the worker may not have come back from it.
        val isAnswering = running == Step.ANSWER && !isOvertaken()
        if (question.isBlank() || !hasPicture || this.question != null || isAnswering || maxNewTokens < 1) return@request false
        forgetProblem()
        this.question = Question(question, maxNewTokens)
        true
    }

    /** Ends the answer that is coming, after its current token, or takes back the question that waits; cancels a check. */
    fun stop() = request {
        question = null
        isWithdrawn = true
        stopAnswer()
        cancelCheck()
    }

    /** Takes back the last question and its answer. */
    fun undo() = request {
        if (question != null) {
            question = null
        } else if (turns.isNotEmpty()) {
            restart(turns.dropLast(1))
        }
    }

    /** Begins anew about the same picture, with the whole context free. */
    fun newChat() = request {
        question = null
        restart(emptyList())
    }

    /** Tries again what failed: loading the bundle, or encoding the picture. */
    fun retry() = request {
        hasFailedToLoad = false
        if (pixels != null) isToRefresh = true
        problem = null
    }

    /**
     * Gives the loaded model to [work] on the worker, and begins nothing else meanwhile: for "Check this phone". An answer that is
     * coming is stopped; the conversation is put back afterwards, and the model loaded again if [work] has released it. What [work]
     * throws becomes a [Problem.Check].
     *
     * `stop`, `show`, `open` of another bundle, `close` and `background` cancel the job; [work] may then throw CancellationException.
     * False, and nothing happens, if the bundle's model isn't loaded, or a check is under way.
     */
    fun check(work: (LoadedModel, Job) -> Unit): Boolean = request {
        val isThere = model != null && model?.folder == requestedBundle
        if (!isThere || check != null || checking != null || isInBackground) return@request false
        problem = null
        check = work
        stopAnswer()
        true
    }

    /** The app isn't seen any more: the answer is stopped, a check cancelled, and nothing new begins but loading. */
    fun background() = request {
        isInBackground = true
        stopAnswer()
        cancelCheck()
    }

    /** The app is seen again. A model that was released is loaded again, and the conversation put back. */
    fun foreground() = request {
        isInBackground = false
        isReleased = false
    }

    /** Frees the model if the app is in the background; the conversation is kept. */
    fun releaseMemory() = request {
        if (isInBackground) isReleased = true
    }

    private inline fun <T> request(change: SessionModel.() -> T): T = session.locked {
        val requested = change()
        publish()
        steps.schedule()
        requested
    }

    companion object {
        /** The longest answer, in tokens, unless asked otherwise. */
        const val MAX_NEW_TOKENS = 256
    }
}
