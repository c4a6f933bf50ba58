package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.pixels.Picture
import java.io.File
import java.util.concurrent.Executor

/**
 * A bundle, a picture and a conversation about it: the state that one screen shows.
 *
 * Requests are stored at once, from any thread; [worker] carries them out step by step: load, check, encode, answer. A new
 * request replaces older ones that haven't begun and stops an answer that it makes obsolete. So after any sequence of requests, the
 * session ends in the state that the last one asked for.
 *
 * @param load verifies and loads a bundle ([ModelLoader.load])
 * @param worker runs one task at a time, in order
 * @param nanoTime a clock in nanoseconds
 * @param listener receives every new state in order, under the session's lock, so it must only pass it on
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
     * Shows a new picture, optionally with a [question]; it is encoded while the user types, and must not change afterwards.
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
     * Restores a picture and the conversation [said] about it, such as after the system ended the app. Unfinished turns are dropped.
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
        // A finished answer no longer counts, even if the worker hasn't returned from it.
        val isAnswering = running == Step.ANSWER && !isOvertaken()
        if (question.isBlank() || !hasPicture || this.question != null || isAnswering || maxNewTokens < 1) return@request false
        forgetProblem()
        this.question = Question(question, maxNewTokens)
        true
    }

    /** Stops the current answer after its current token, or withdraws the queued question; cancels a check. */
    fun stop() = request {
        question = null
        isWithdrawn = true
        stopAnswer()
        cancelCheck()
    }

    /** Undoes the last question and its answer. */
    fun undo() = request {
        if (question != null) {
            question = null
        } else if (turns.isNotEmpty()) {
            restart(turns.dropLast(1))
        }
    }

    /** Starts a new conversation about the same picture, with the whole context free. */
    fun newChat() = request {
        question = null
        restart(emptyList())
    }

    /** Retries what failed: loading the bundle, or encoding the picture. */
    fun retry() = request {
        hasFailedToLoad = false
        if (pixels != null) isToRefresh = true
        problem = null
    }

    /**
     * Gives the loaded model to [work] on the worker, for "Check this phone"; nothing else begins meanwhile. The current answer is
     * stopped; afterwards the conversation is restored, and the model loaded again if [work] has released it. What [work]
     * throws becomes a [Problem.Check].
     *
     * `stop`, `show`, `open` of another bundle, `close` and `background` cancel the job; [work] may then throw CancellationException.
     * Returns false and changes nothing if the bundle's model isn't loaded or a check is running.
     */
    fun check(work: (LoadedModel, Job) -> Unit): Boolean = request {
        val isThere = model != null && model?.folder == requestedBundle
        if (!isThere || check != null || checking != null || isInBackground) return@request false
        problem = null
        check = work
        stopAnswer()
        true
    }

    /** The app went to the background: stops the answer and a check; nothing new begins except loading. */
    fun background() = request {
        isInBackground = true
        stopAnswer()
        cancelCheck()
    }

    /** The app is in the foreground again: loads a freed model again and restores the conversation. */
    fun foreground() = request {
        isInBackground = false
        isReleased = false
    }

    /** Frees the model if the app is in the background, or cancels its load, and keeps the conversation. */
    fun releaseMemory() = request {
        if (!isInBackground) return@request
        isReleased = true
        loading?.cancel()
    }

    private inline fun <T> request(change: SessionModel.() -> T): T = session.locked {
        val requested = change()
        publish()
        steps.schedule()
        requested
    }

    companion object {
        /** The default maximum length of an answer, in tokens. */
        const val MAX_NEW_TOKENS = 256
    }
}
