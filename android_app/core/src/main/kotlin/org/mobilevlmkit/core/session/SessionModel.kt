package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.prompt.Turn
import java.io.File
import kotlin.contracts.ExperimentalContracts
import kotlin.contracts.InvocationKind
import kotlin.contracts.contract

/** What the worker does next. */
internal enum class Step { UNLOAD, LOAD, CHECK, ENCODE, ANSWER }

internal class Question(val text: String, val maxNewTokens: Int)

/**
 * What a session's user wants and what has come of it, the [next] step between the two, and the state that is shown of both.
 * Whoever touches it holds its lock ([locked]); [isStopping] alone is read without.
 *
 * @param listener is given every new state in order
 */
internal class SessionModel(private val listener: (SessionState) -> Unit) {
    // What is wanted.
    var requestedBundle: File? = null
    var newPicture: Picture? = null
    var isToRefresh = false // put the conversation back into the KV cache
    var question: Question? = null
    var turns = emptyList<ChatTurn>()
    var check: ((LoadedModel, Job) -> Unit)? = null
    var isInBackground = false
    var isReleased = false

    // What is.
    var model: LoadedModel? = null
    var conversation: Conversation? = null // the model's; used on the worker only
    var pixels: ByteArray? = null
    var running: Step? = null
    var loading: Job? = null
    var checking: Job? = null
    var openCount = 0 // so many times a bundle was opened or closed
    var hasFailedToLoad = false
    var loadProgress = 0f
    var imageS = 0.0
    var usedTokens = 0
    var problem: Problem? = null

    /** The newest state. */
    var published = SessionState()
        private set

    // What began with another picture, or in another conversation, doesn't touch the state any more.
    var pictureNumber = 0
        private set
    var epoch = 0
        private set

    /** Whether the question that is being answered is taken back if its answer hasn't begun. */
    var isWithdrawn = false

    /** Whether the answer that is coming is to end. */
    @Volatile
    var isStopping = false

    fun next(): Step? {
        val isLoaded = model != null
        return when {
            isLoaded && (model?.folder != requestedBundle || isReleased) -> Step.UNLOAD
            !isLoaded && requestedBundle != null && !hasFailedToLoad && !isReleased -> Step.LOAD
            !isLoaded || isInBackground -> null
            check != null -> Step.CHECK
            newPicture != null || isToRefresh -> Step.ENCODE
            question != null && pixels != null -> Step.ANSWER
            else -> null
        }
    }

    fun forgetPicture() {
        newPicture = null
        pixels = null
        isToRefresh = false
        question = null
        turns = emptyList()
        usedTokens = 0
        pictureNumber++
        epoch++
        stopAnswer()
    }

    fun cancelCheck() {
        check = null
        checking?.cancel()
    }

    /** Why a bundle couldn't be loaded stays until that is tried again. */
    fun forgetProblem() {
        if (!hasFailedToLoad) problem = null
    }

    fun restart(kept: List<ChatTurn>) {
        forgetProblem()
        if (kept == turns) return
        turns = kept
        isToRefresh = pixels != null
        epoch++
        stopAnswer()
    }

    fun stopAnswer() {
        if (running != Step.ANSWER || isStopping) return
        isStopping = true
        model?.engine?.stop()
    }

    /** Changes the turn that began with the epoch [mine]; nothing, if that is over. */
    fun changeLastTurn(mine: Int, change: (ChatTurn) -> ChatTurn) {
        if (epoch == mine) {
            turns = turns.dropLast(1) + change(turns.last())
            publish()
        }
    }

    /** What was said; an answer that failed wasn't. */
    fun history(): List<Turn> = turns.filter { it.ended != Ended.FAILED }.map { Turn(it.question, it.answer) }

    private fun phase(): Phase = when {
        requestedBundle == null -> Phase.IDLE
        model == null && isReleased -> Phase.SUSPENDED
        model == null && hasFailedToLoad -> Phase.FAILED
        model == null || running == Step.LOAD || running == Step.UNLOAD || model?.folder != requestedBundle -> Phase.LOADING
        running == Step.CHECK || check != null -> Phase.CHECKING
        running == Step.ANSWER && !isOvertaken() -> Phase.ANSWERING
        newPicture != null || isToRefresh || running == Step.ENCODE -> Phase.ENCODING
        pixels == null -> Phase.READY
        else -> Phase.IMAGE_READY
    }

    /** Whether the answer that is coming belongs to a conversation that is gone. */
    fun isOvertaken(): Boolean = turns.lastOrNull()?.ended != null || turns.isEmpty()

    fun publish() {
        val new = SessionState(
            phase = phase(),
            bundle = requestedBundle?.name,
            loadProgress = if (running == Step.LOAD) loadProgress else 0f,
            picture = pictureNumber,
            isPictureWaiting = newPicture != null,
            turns = turns,
            waitingQuestion = question?.text,
            usedTokens = usedTokens,
            maxTokens = model?.manifest?.maxContext ?: 0,
            memory = model?.memory ?: MemoryFit.FITS,
            problem = problem,
        )
        if (new == published) return
        published = new
        listener(new)
    }
}

/** Runs [work] on this session under its lock. */
@OptIn(ExperimentalContracts::class)
internal inline fun <T> SessionModel.locked(work: SessionModel.() -> T): T {
    contract { callsInPlace(work, InvocationKind.EXACTLY_ONCE) }
    return synchronized(this) { work() }
}
