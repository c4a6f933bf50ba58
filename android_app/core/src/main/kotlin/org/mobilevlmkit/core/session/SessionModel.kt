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
 * What the user has requested and the worker hasn't carried out yet.
 *
 * @property picture to be encoded
 * @property isToRefresh the conversation is to be restored in the KV cache
 * @property isReleased the model is to be freed until the app is in the foreground
 */
internal data class Requests(
    val bundle: File? = null,
    val picture: Picture? = null,
    val isToRefresh: Boolean = false,
    val question: Question? = null,
    val check: ((LoadedModel, Job) -> Unit)? = null,
    val isInBackground: Boolean = false,
    val isReleased: Boolean = false,
)

/**
 * What has been said about the picture.
 *
 * @property pixels the picture as the vision encoder takes it; null before it is encoded
 * @property imageS seconds that this took, until an answer's statistics have them
 */
internal class Talk(
    val pixels: ByteArray? = null,
    val turns: List<ChatTurn> = emptyList(),
    val usedTokens: Int = 0,
    val imageS: Double = 0.0,
) {
    fun copy(
        pixels: ByteArray? = this.pixels,
        turns: List<ChatTurn> = this.turns,
        usedTokens: Int = this.usedTokens,
        imageS: Double = this.imageS,
    ) = Talk(pixels, turns, usedTokens, imageS)
}

/** A loaded model, and the conversation in its KV cache, which only the worker uses. */
internal class Loaded(val model: LoadedModel, val conversation: Conversation)

/** The step that the worker is carrying out, and what cancels it if it can be canceled. */
internal class Running(val step: Step, val job: Job? = null, val progress: Float = 0f)

/**
 * The state of a session: what the user requested, what has been done, the [next] step, and the published state.
 * All access is under its lock ([locked]), except reads of [isStopping].
 *
 * @param listener receives every new state in order
 */
internal class SessionModel(private val listener: (SessionState) -> Unit) {
    var requests = Requests()
        private set
    var talk = Talk()
        private set
    var loaded: Loaded? = null
    var running: Running? = null
    var problem: Problem? = null
    var hasFailedToLoad = false
    var openCount = 0 // how many times a bundle was opened or closed

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

    /** The only place where requests change. */
    fun request(change: Requests.() -> Requests) {
        requests = requests.change()
    }

    /** The only place where what was said changes. */
    fun talk(change: Talk.() -> Talk) {
        talk = talk.change()
    }

    fun next(): Step? {
        val isLoaded = loaded != null
        return requests.run {
            when {
                isLoaded && (loaded?.model?.folder != bundle || isReleased) -> Step.UNLOAD
                !isLoaded && bundle != null && !hasFailedToLoad && !isReleased -> Step.LOAD
                !isLoaded || isInBackground -> null
                check != null -> Step.CHECK
                picture != null || isToRefresh -> Step.ENCODE
                question != null && talk.pixels != null -> Step.ANSWER
                else -> null
            }
        }
    }

    fun forgetPicture() {
        request { copy(picture = null, isToRefresh = false, question = null) }
        talk { Talk() }
        pictureNumber++
        epoch++
        stopAnswer()
    }

    fun cancelCheck() {
        request { copy(check = null) }
        cancel(Step.CHECK)
    }

    fun cancel(step: Step) = running?.takeIf { it.step == step }?.job?.cancel() ?: Unit

    /** Keeps a load failure until loading is tried again. */
    fun forgetProblem() {
        if (!hasFailedToLoad) problem = null
    }

    fun restart(kept: List<ChatTurn>) {
        forgetProblem()
        if (kept == talk.turns) return
        talk { copy(turns = kept) }
        request { copy(isToRefresh = talk.pixels != null) }
        epoch++
        stopAnswer()
    }

    fun stopAnswer() {
        if (running?.step != Step.ANSWER || isStopping) return
        isStopping = true
        loaded?.model?.engine?.stop()
    }

    /** Changes the turn that began in the epoch [mine], unless that is over. */
    fun changeLastTurn(mine: Int, change: (ChatTurn) -> ChatTurn) {
        if (epoch == mine) {
            talk { copy(turns = turns.dropLast(1) + change(turns.last())) }
            publish()
        }
    }

    /** The finished turns, without failed answers. */
    fun history(): List<Turn> = talk.turns.filter { it.ended != Ended.FAILED }.map { Turn(it.question, it.answer) }

    private fun phase(): Phase = requests.run {
        val step = running?.step
        when {
            bundle == null -> Phase.IDLE
            loaded == null && isReleased -> Phase.SUSPENDED
            loaded == null && hasFailedToLoad -> Phase.FAILED
            loaded?.model?.folder != bundle || step == Step.LOAD || step == Step.UNLOAD -> Phase.LOADING
            step == Step.CHECK || check != null -> Phase.CHECKING
            step == Step.ANSWER && !isOvertaken() -> Phase.ANSWERING
            picture != null || isToRefresh || step == Step.ENCODE -> Phase.ENCODING
            talk.pixels == null -> Phase.READY
            else -> Phase.IMAGE_READY
        }
    }

    /** Whether the current answer belongs to a discarded conversation. */
    fun isOvertaken(): Boolean = talk.turns.lastOrNull()?.ended != null || talk.turns.isEmpty()

    fun publish() {
        val new = SessionState(
            phase = phase(),
            bundle = requests.bundle?.name,
            loadProgress = running?.progress ?: 0f,
            picture = pictureNumber,
            isPictureWaiting = requests.picture != null,
            turns = talk.turns,
            waitingQuestion = requests.question?.text,
            usedTokens = talk.usedTokens,
            maxTokens = loaded?.model?.manifest?.maxContext ?: 0,
            memory = loaded?.model?.memory ?: MemoryFit.FITS,
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
