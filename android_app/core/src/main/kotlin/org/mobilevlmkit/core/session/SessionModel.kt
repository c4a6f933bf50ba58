package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.prompt.Turn
import java.io.File
import kotlin.contracts.ExperimentalContracts
import kotlin.contracts.InvocationKind
import kotlin.contracts.contract

/** The worker's next step. */
internal enum class Step { UNLOAD, LOAD, CHECK, ENCODE, ANSWER }

internal class Question(val text: String, val maxNewTokens: Int)

/**
 * The state of a session: what the user requested, what has been done, the [next] step, and the published state.
 * All access is under its lock ([locked]), except reads of [isStopping].
 *
 * @param listener receives every new state in order
 */
internal class SessionModel(private val listener: (SessionState) -> Unit) {
    // Requested.
    var requestedBundle: File? = null
    var newPicture: Picture? = null
    var isToRefresh = false // restore the conversation in the KV cache
    var question: Question? = null
    var turns = emptyList<ChatTurn>()
    var check: ((LoadedModel, Job) -> Unit)? = null
    var isInBackground = false
    var isReleased = false

    // Actual.
    var model: LoadedModel? = null
    var conversation: Conversation? = null // belongs to the model; used on the worker only
    var pixels: ByteArray? = null
    var running: Step? = null
    var loading: Job? = null
    var checking: Job? = null
    var openCount = 0 // how many times a bundle was opened or closed
    var hasFailedToLoad = false
    var loadProgress = 0f
    var imageS = 0.0
    var usedTokens = 0
    var problem: Problem? = null

    /** The newest state. */
    var published = SessionState()
        private set

    // Work that began with another picture or conversation no longer changes the state.
    var pictureNumber = 0
        private set
    var epoch = 0
        private set

    /** Whether the question being answered is withdrawn if its answer hasn't begun. */
    var isWithdrawn = false

    /** Whether the current answer should stop. */
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

    /** Keeps a load failure until loading is tried again. */
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

    /** Changes the turn that began in the epoch [mine], unless that is over. */
    fun changeLastTurn(mine: Int, change: (ChatTurn) -> ChatTurn) {
        if (epoch == mine) {
            turns = turns.dropLast(1) + change(turns.last())
            publish()
        }
    }

    /** The finished turns, without failed answers. */
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

    /** Whether the current answer belongs to a discarded conversation. */
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
