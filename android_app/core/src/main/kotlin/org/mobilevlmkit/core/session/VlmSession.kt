package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.MobileVlmException
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.prompt.Turn
import java.io.File
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor

/**
 * A bundle, a picture and a conversation about it: the state that one screen shows.
 *
 * What the user wants is noted at once, from any thread; [worker] brings it about, one step after another: load, look, answer. A new
 * wish overtakes those that haven't begun and stops the answer that it makes idle. So whatever comes in whatever order, the session
 * ends where the last wish points.
 *
 * @param load verifies and loads a bundle ([ModelLoader.load])
 * @param worker runs one task at a time, in order
 * @param nanoTime a clock in nanoseconds
 * @param listener is given every new state in order, under the session's lock: it must only hand it on
 */
class VlmSession(
    private val load: (File, Job) -> LoadedModel,
    private val worker: Executor,
    private val nanoTime: () -> Long = System::nanoTime,
    private val listener: (SessionState) -> Unit,
) {
    private enum class Step { UNLOAD, LOAD, CHECK, LOOK, ANSWER }

    private class Question(val text: String, val maxNewTokens: Int)

    private val lock = Any()

    // What is wanted; guarded by the lock, as all below.
    private var wanted: File? = null
    private var newPicture: Picture? = null
    private var isToRefresh = false // put the conversation back into the KV cache
    private var question: Question? = null
    private var turns = emptyList<ChatTurn>()
    private var check: ((LoadedModel, Job) -> Unit)? = null
    private var isInBackground = false
    private var isReleased = false

    // What is.
    private var model: LoadedModel? = null
    private var conversation: Conversation? = null // the model's; used on the worker only
    private var pixels: ByteArray? = null
    private var running: Step? = null
    private var loading: Job? = null
    private var checking: Job? = null
    private var hasFailedToLoad = false
    private var isScheduled = false
    private var loadProgress = 0f
    private var imageS = 0.0
    private var usedTokens = 0
    private var problem: Problem? = null
    private var published = SessionState()

    // What began with another picture, or in another conversation, doesn't touch the state any more.
    private var pictures = 0
    private var epoch = 0

    @Volatile
    private var isStopping = false

    /** The newest state. */
    val state: SessionState get() = synchronized(lock) { published }

    /** Uses the bundle in [folder] from now on; picture and conversation of another bundle are forgotten. */
    fun open(folder: File) = wish {
        if (folder == wanted && !hasFailedToLoad) return@wish
        if (folder != wanted) forgetPicture()
        cancelCheck()
        wanted = folder
        hasFailedToLoad = false
        problem = null
        loading?.cancel()
    }

    /** Forgets bundle, picture and conversation, and frees the model; also while it loads. */
    fun close() = wish {
        forgetPicture()
        cancelCheck()
        wanted = null
        hasFailedToLoad = false
        isReleased = false
        problem = null
        loading?.cancel()
    }

    /**
     * A new picture, with a [question] about it or none yet: it is encoded while the user types. It must not change any more.
     * Returns the picture's number: [SessionState.picture] as long as the state is about it.
     */
    fun show(picture: Picture, question: String? = null, maxNewTokens: Int = MAX_NEW_TOKENS): Int {
        var number = 0
        wish {
            forgetPicture()
            cancelCheck()
            newPicture = picture
            forgetProblem()
            if (!question.isNullOrBlank()) this.question = Question(question, maxNewTokens)
            number = pictures
        }
        return number
    }

    /** A picture about which [said] was said before, such as when the system has ended the app meanwhile; turns without an end are left out. */
    fun resume(picture: Picture, said: List<ChatTurn>) = wish {
        forgetPicture()
        cancelCheck()
        newPicture = picture
        turns = said.filter { it.ended != null }
        problem = null
    }

    /** Asks [question] about the picture, once it is encoded. False, and nothing happens, if it is blank, without a picture, or another is under way. */
    fun ask(question: String, maxNewTokens: Int = MAX_NEW_TOKENS): Boolean {
        synchronized(lock) {
            val hasPicture = newPicture != null || pixels != null
            // An answer that has ended counts no more, though the worker may not have come back from it.
            val isAnswering = running == Step.ANSWER && !isOvertaken()
            if (question.isBlank() || !hasPicture || this.question != null || isAnswering || maxNewTokens < 1) return false
        }
        wish {
            forgetProblem()
            this.question = Question(question, maxNewTokens)
        }
        return true
    }

    /** Ends the answer that is coming, after its current token, or takes back the question that waits; cancels a check. */
    fun stop() = wish {
        question = null
        stopAnswer()
        cancelCheck()
    }

    /** Takes back the last question and its answer. */
    fun undo() = wish {
        if (question != null) {
            question = null
        } else if (turns.isNotEmpty()) {
            restart(turns.dropLast(1))
        }
    }

    /** Begins anew about the same picture, with the whole context free. */
    fun newChat() = wish {
        question = null
        restart(emptyList())
    }

    /** Tries again what failed: loading the bundle, or encoding the picture. */
    fun retry() = wish {
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
     * False, and nothing happens, if no model is loaded, or a check is under way.
     */
    fun check(work: (LoadedModel, Job) -> Unit): Boolean {
        synchronized(lock) {
            if (model == null || check != null || checking != null || isInBackground) return false
            wish {
                problem = null
                check = work
                stopAnswer()
            }
        }
        return true
    }

    /** The app isn't seen any more: the answer is stopped, a check cancelled, and nothing new begins but loading. */
    fun background() = wish {
        isInBackground = true
        stopAnswer()
        cancelCheck()
    }

    /** The app is seen again. A model that was released is loaded again, and the conversation put back. */
    fun foreground() = wish {
        isInBackground = false
        isReleased = false
    }

    /** Frees the model if the app is in the background; the conversation is kept. */
    fun releaseMemory() = wish {
        if (isInBackground) isReleased = true
    }

    // --- wishes

    private fun wish(change: () -> Unit) = synchronized(lock) {
        change()
        publish()
        schedule()
    }

    private fun forgetPicture() {
        newPicture = null
        pixels = null
        isToRefresh = false
        question = null
        turns = emptyList()
        usedTokens = 0
        pictures++
        epoch++
        stopAnswer()
    }

    private fun cancelCheck() {
        check = null
        checking?.cancel()
    }

    /** Why a bundle couldn't be loaded stays until that is tried again. */
    private fun forgetProblem() {
        if (!hasFailedToLoad) problem = null
    }

    private fun restart(kept: List<ChatTurn>) {
        forgetProblem()
        if (kept == turns) return
        turns = kept
        isToRefresh = pixels != null
        epoch++
        stopAnswer()
    }

    private fun stopAnswer() {
        if (running != Step.ANSWER || isStopping) return
        isStopping = true
        model?.engine?.stop()
    }

    // --- steps

    private fun next(): Step? {
        val isLoaded = model != null
        return when {
            isLoaded && (model?.folder != wanted || isReleased) -> Step.UNLOAD
            !isLoaded && wanted != null && !hasFailedToLoad && !isReleased -> Step.LOAD
            !isLoaded || isInBackground -> null
            check != null -> Step.CHECK
            newPicture != null || isToRefresh -> Step.LOOK
            question != null && pixels != null -> Step.ANSWER
            else -> null
        }
    }

    private fun schedule() {
        if (isScheduled || next() == null) return
        isScheduled = true
        worker.execute(::runStep)
    }

    private fun runStep() {
        val step = synchronized(lock) {
            isStopping = false
            next().also { running = it }
        }
        try {
            when (step) {
                Step.UNLOAD -> unload()
                Step.LOAD -> load()
                Step.CHECK -> check()
                Step.LOOK -> look()
                Step.ANSWER -> answer()
                null -> Unit
            }
        } finally {
            synchronized(lock) {
                running = null
                isScheduled = false
                publish()
                schedule()
            }
        }
    }

    private fun unload() {
        val closing = synchronized(lock) {
            conversation = null
            model.also {
                model = null
                usedTokens = 0
            }
        }
        try {
            closing?.release()
        } catch (_: Exception) {
            // It is gone either way; a model that is loaded next says whether there is room.
        }
    }

    private fun load() {
        val job = Job { done, total ->
            synchronized(lock) {
                loadProgress = if (total > 0) done.toFloat() / total else 0f
                publish()
            }
        }
        val folder = synchronized(lock) {
            loadProgress = 0f
            loading = job
            publish()
            wanted
        }
        try {
            val loaded = load(checkNotNull(folder), job)
            synchronized(lock) {
                model = loaded
                conversation = Conversation(loaded, nanoTime)
                // A conversation from before is put back.
                isToRefresh = pixels != null
            }
        } catch (_: CancellationException) {
            // Another wish came; the next step sees it.
        } catch (error: Throwable) {
            synchronized(lock) {
                if (wanted == folder && !job.isCancelled) {
                    hasFailedToLoad = true
                    problem = when (error) {
                        is BundleException -> Problem.Bundle(error.message ?: "")
                        is MemoryException -> Problem.Memory(error.neededBytes, error.availableBytes)
                        else -> Problem.Engine(lineOf(error))
                    }
                }
            }
        } finally {
            synchronized(lock) { loading = null }
        }
    }

    private fun check() {
        val job = Job()
        val work: (LoadedModel, Job) -> Unit
        val lent: LoadedModel
        synchronized(lock) {
            work = check ?: return // taken back a moment ago
            lent = checkNotNull(model)
            check = null
            checking = job
            publish()
        }
        var error: Throwable? = null
        try {
            work(lent, job)
        } catch (_: CancellationException) {
            // As it was told to.
        } catch (thrown: Throwable) {
            error = thrown
        }
        synchronized(lock) {
            checking = null
            usedTokens = 0
            model = lent.takeUnless { it.isReleased }
            conversation = model?.let { Conversation(it, nanoTime) }
            isToRefresh = pixels != null
            if (error != null && !job.isCancelled) problem = Problem.Check(lineOf(error))
        }
    }

    private fun look() {
        val talk: Conversation
        val picture: Picture?
        val history: List<Turn>
        val mine: Int
        val about: Int
        synchronized(lock) {
            publish()
            talk = checkNotNull(conversation)
            picture = newPicture
            history = history()
            mine = epoch
            about = pictures
            newPicture = null
            isToRefresh = false
        }
        attempt(mine) {
            val shown = if (picture != null) checkNotNull(model).pixels(picture) else synchronized(lock) { pixels } ?: return
            synchronized(lock) { if (pictures == about) pixels = shown }
            talk.look(shown, history)
            synchronized(lock) {
                if (epoch == mine) {
                    usedTokens = talk.position
                    imageS = talk.imageS
                }
            }
        }
    }

    private fun answer() {
        val began = nanoTime()
        var firstAt = 0L
        var lastAt = 0L
        val talk: Conversation
        val asked: Question
        val history: List<Turn>
        val mine: Int
        synchronized(lock) {
            talk = checkNotNull(conversation)
            asked = question ?: return // taken back a moment ago
            history = history()
            mine = epoch
            question = null
            turns = turns + ChatTurn(asked.text)
            publish()
        }
        attempt(mine) {
            try {
                val answered = talk.answer(history, asked.text, asked.maxNewTokens, { isStopping }) { text ->
                    lastAt = nanoTime()
                    if (firstAt == 0L) firstAt = lastAt
                    changeLastTurn(mine) { it.copy(answer = text) }
                }
                val decodeS = (lastAt - firstAt) / 1e9
                finish(mine, talk.position, answered, if (firstAt == 0L) 0.0 else (firstAt - began) / 1e9, decodeS)
            } catch (_: ContextFullException) {
                refuse(mine, Problem.ContextFull(asked.text))
            } catch (error: PromptException) {
                refuse(mine, Problem.Input(lineOf(error)))
            }
        }
    }

    private fun finish(mine: Int, position: Int, answered: Answered?, firstTokenS: Double, decodeS: Double) = synchronized(lock) {
        if (epoch != mine) return
        usedTokens = position
        if (answered == null) { // stopped before it began
            turns = turns.dropLast(1)
            return
        }
        val speed = if (answered.tokens > 1 && decodeS > 0) (answered.tokens - 1) / decodeS else 0.0
        val stats = AnswerStats(imageS, firstTokenS, answered.tokens, speed)
        imageS = 0.0
        changeLastTurn(mine) { it.copy(answer = answered.text, ended = answered.ended, stats = stats) }
    }

    /** The question that began with [mine] was never asked. */
    private fun refuse(mine: Int, why: Problem) = synchronized(lock) {
        if (epoch == mine) {
            turns = turns.dropLast(1)
            problem = why
        }
    }

    /** Runs [work] of the epoch [mine]; what fails becomes a state. */
    private inline fun attempt(mine: Int, work: () -> Unit) {
        try {
            work()
        } catch (error: Throwable) {
            synchronized(lock) {
                if (epoch == mine) {
                    problem = if (error is PictureException) Problem.Input(lineOf(error)) else Problem.Engine(lineOf(error))
                    if (error is PictureException) pixels = null
                    question = null
                    if (running == Step.ANSWER) changeLastTurn(mine) { it.copy(ended = Ended.FAILED) }
                }
            }
        }
    }

    private fun changeLastTurn(mine: Int, change: (ChatTurn) -> ChatTurn) = synchronized(lock) {
        if (epoch == mine) {
            turns = turns.dropLast(1) + change(turns.last())
            publish()
        }
    }

    /** What was said; an answer that failed wasn't. */
    private fun history(): List<Turn> = turns.filter { it.ended != Ended.FAILED }.map { Turn(it.question, it.answer) }

    private fun lineOf(error: Throwable): String {
        val line = error.message?.lineSequence()?.firstOrNull { it.isNotBlank() } ?: error.javaClass.simpleName
        return if (error is MobileVlmException) line else "engine: $line"
    }

    // --- state

    private fun phase(): Phase = when {
        wanted == null -> Phase.IDLE
        model == null && isReleased -> Phase.SUSPENDED
        model == null && hasFailedToLoad -> Phase.FAILED
        model == null || running == Step.LOAD || running == Step.UNLOAD || model?.folder != wanted -> Phase.LOADING
        running == Step.CHECK || check != null -> Phase.CHECKING
        running == Step.ANSWER && !isOvertaken() -> Phase.ANSWERING
        newPicture != null || isToRefresh || running == Step.LOOK -> Phase.LOOKING
        pixels == null -> Phase.READY
        else -> Phase.SEEN
    }

    /** Whether the answer that is coming belongs to a conversation that is gone. */
    private fun isOvertaken(): Boolean = turns.lastOrNull()?.ended != null || turns.isEmpty()

    private fun publish() {
        val new = SessionState(
            phase = phase(),
            bundle = wanted?.name,
            loadProgress = if (running == Step.LOAD) loadProgress else 0f,
            picture = pictures,
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

    companion object {
        /** The longest answer, in tokens, unless asked otherwise. */
        const val MAX_NEW_TOKENS = 256
    }
}
