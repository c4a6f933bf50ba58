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
    fun open(folder: File) = change {
        openCount++
        if (folder == requests.bundle && !hasFailedToLoad) return@change
        if (folder != requests.bundle) forgetPicture()
        cancelCheck()
        request { copy(bundle = folder) }
        hasFailedToLoad = false
        problem = null
        cancel(Step.LOAD)
    }

    /** Forgets bundle, picture and conversation, and frees the model; also while it loads. */
    fun close() = change {
        openCount++
        forgetPicture()
        cancelCheck()
        request { copy(bundle = null, isReleased = false) }
        hasFailedToLoad = false
        problem = null
        cancel(Step.LOAD)
    }

    /**
     * Shows a new picture, optionally with a [question]; it is encoded while the user types, and must not change afterwards.
     * Returns the picture's number: [SessionState.picture] as long as the state is about it.
     */
    fun show(picture: Picture, question: String? = null, maxNewTokens: Int = MAX_NEW_TOKENS): Int = change {
        forgetPicture()
        cancelCheck()
        val asked = if (question.isNullOrBlank()) null else Question(question, maxNewTokens)
        request { copy(picture = picture, question = asked) }
        forgetProblem()
        pictureNumber
    }

    /**
     * Restores a picture and the conversation [said] about it, such as after the system ended the app. Unfinished turns are dropped.
     */
    fun resume(picture: Picture, said: List<ChatTurn>) = change {
        forgetPicture()
        cancelCheck()
        request { copy(picture = picture) }
        talk { copy(turns = said.filter { it.ended != null }) }
        problem = null
    }

    /**
     * Asks [question] about the picture, once it is encoded. Returns false, and changes nothing, if the question is blank, there is no
     * picture, or another question is being answered.
     */
    fun ask(question: String, maxNewTokens: Int = MAX_NEW_TOKENS): Boolean = change {
        val hasPicture = requests.picture != null || talk.pixels != null
        // A finished answer no longer counts, even if the worker hasn't returned from it.
        val isAnswering = running?.step == Step.ANSWER && !isOvertaken()
        if (question.isBlank() || !hasPicture || requests.question != null || isAnswering || maxNewTokens < 1) return@change false
        forgetProblem()
        request { copy(question = Question(question, maxNewTokens)) }
        true
    }

    /** Stops the current answer after its current token, or withdraws the queued question; cancels a check. */
    fun stop() = change {
        request { copy(question = null) }
        isWithdrawn = true
        stopAnswer()
        cancelCheck()
    }

    /** Undoes the last question and its answer. */
    fun undo() = change {
        if (requests.question != null) {
            request { copy(question = null) }
        } else if (talk.turns.isNotEmpty()) {
            restart(talk.turns.dropLast(1))
        }
    }

    /** Starts a new conversation about the same picture, with the whole context free. */
    fun newChat() = change {
        request { copy(question = null) }
        restart(emptyList())
    }

    /** Retries what failed: loading the bundle, or encoding the picture. */
    fun retry() = change {
        hasFailedToLoad = false
        if (talk.pixels != null) request { copy(isToRefresh = true) }
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
    fun check(work: (LoadedModel, Job) -> Unit): Boolean = change {
        val isThere = loaded != null && loaded?.model?.folder == requests.bundle
        val isChecking = running?.step == Step.CHECK && running?.job != null
        if (!isThere || requests.check != null || isChecking || requests.isInBackground) return@change false
        problem = null
        request { copy(check = work) }
        stopAnswer()
        true
    }

    /** The app went to the background: stops the answer and a check; nothing new begins except loading. */
    fun background() = change {
        request { copy(isInBackground = true) }
        stopAnswer()
        cancelCheck()
    }

    /** The app is in the foreground again: loads a freed model again and restores the conversation. */
    fun foreground() = change {
        request { copy(isInBackground = false, isReleased = false) }
    }

    /** Frees the model if the app is in the background, or cancels its load, and keeps the conversation. */
    fun releaseMemory() = change {
        if (!requests.isInBackground) return@change
        request { copy(isReleased = true) }
        cancel(Step.LOAD)
    }

    private inline fun <T> change(work: SessionModel.() -> T): T = session.locked {
        val requested = work()
        publish()
        steps.schedule()
        requested
    }

    companion object {
        /** The default maximum length of an answer, in tokens. */
        const val MAX_NEW_TOKENS = 256
    }
}
