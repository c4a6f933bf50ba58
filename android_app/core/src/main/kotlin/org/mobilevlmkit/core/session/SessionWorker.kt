package org.mobilevlmkit.core.session

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.MobileVlmException
import org.mobilevlmkit.core.OutdatedException
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.PromptException
import java.io.File
import java.util.concurrent.CancellationException
import java.util.concurrent.Executor

/**
 * Carries out the requests of [session], one step after another on [executor]. The lock is held to read a step's input and to
 * store its result, never while the engine runs.
 */
internal class SessionWorker(
    private val session: SessionModel,
    private val load: (File, Job) -> LoadedModel,
    private val executor: Executor,
    private val nanoTime: () -> Long,
) {
    private var isScheduled = false // guarded by the session's lock

    /** Schedules the next step if there is one and none is running. The caller holds the session's lock. */
    fun schedule() {
        if (isScheduled || session.next() == null) return
        isScheduled = true
        executor.execute(::runStep)
    }

    private fun runStep() {
        // A step's input is taken when the step is chosen, so that no request comes in between.
        val work = session.locked {
            isStopping = false
            isWithdrawn = false
            val step = next()
            running = step?.let { Running(it) }
            when (step) {
                Step.UNLOAD -> unloadStep()
                Step.LOAD -> loadStep()
                Step.CHECK -> checkStep()
                Step.ENCODE -> encodeStep()
                Step.ANSWER -> answerStep()
                null -> null
            }.also { publish() }
        }
        try {
            work?.invoke()
        } finally {
            session.locked {
                running = null
                isScheduled = false
                publish()
                schedule()
            }
        }
    }

    private fun SessionModel.unloadStep(): () -> Unit {
        val closing = loaded
        loaded = null
        talk { copy(usedTokens = 0) }
        return {
            try {
                closing?.model?.release()
            } catch (_: Exception) {
                // It is freed either way; the next load reports whether there is room.
            }
        }
    }

    private fun SessionModel.loadStep(): () -> Unit {
        val folder = checkNotNull(requests.bundle)
        val startCount = openCount
        lateinit var job: Job
        job = Job { done, total ->
            session.locked {
                running = Running(Step.LOAD, job, if (total > 0) done.toFloat() / total else 0f)
                publish()
            }
        }
        running = Running(Step.LOAD, job)
        return {
            try {
                val model = load(folder, job)
                session.locked {
                    loaded = Loaded(model, Conversation(model, nanoTime))
                    // An earlier conversation is restored.
                    request { copy(isToRefresh = talk.pixels != null) }
                }
            } catch (_: CancellationException) {
                // Another request came; the next step handles it.
            } catch (error: Throwable) {
                session.locked {
                    // A bundle opened again meanwhile may have changed, and is loaded again.
                    if (openCount == startCount) {
                        hasFailedToLoad = true
                        problem = when (error) {
                            is OutdatedException -> Problem.Outdated(error.name)
                            is BundleException -> Problem.Bundle(error.message ?: "")
                            is MemoryException -> Problem.Memory(error.neededBytes, error.availableBytes)
                            else -> Problem.Engine(lineOf(error))
                        }
                    }
                }
            }
        }
    }

    private fun SessionModel.checkStep(): () -> Unit {
        val work = checkNotNull(requests.check)
        val checked = checkNotNull(loaded).model
        val job = Job()
        request { copy(check = null) }
        running = Running(Step.CHECK, job)
        return {
            val error = try {
                work(checked, job)
                null
            } catch (_: CancellationException) {
                null // as requested
            } catch (thrown: Throwable) {
                thrown
            }
            session.locked {
                running = Running(Step.CHECK) // it can't be canceled any more
                talk { copy(usedTokens = 0) }
                loaded = checked.takeUnless { it.isReleased }?.let { Loaded(it, Conversation(it, nanoTime)) }
                request { copy(isToRefresh = talk.pixels != null) }
                if (error != null && !job.isCancelled) problem = Problem.Check(lineOf(error))
            }
        }
    }

    private fun SessionModel.encodeStep(): () -> Unit {
        val conversation = checkNotNull(loaded).conversation
        val picture = requests.picture
        val encoded = talk.pixels
        val history = history()
        val startEpoch = epoch
        val startPicture = pictureNumber
        request { copy(picture = null, isToRefresh = false) }
        return {
            attempt(startEpoch) {
                val encodedPixels = if (picture != null) conversation.pixels(picture) else checkNotNull(encoded)
                session.locked { if (pictureNumber == startPicture) talk { copy(pixels = encodedPixels) } }
                conversation.start(encodedPixels, history)
                session.locked {
                    if (epoch == startEpoch) talk { copy(usedTokens = conversation.position, imageS = conversation.imageS) }
                }
            }
        }
    }

    private fun SessionModel.answerStep(): () -> Unit {
        val conversation = checkNotNull(loaded).conversation
        val asked = checkNotNull(requests.question)
        val history = history()
        val startEpoch = epoch
        request { copy(question = null) }
        talk { copy(turns = turns + ChatTurn(asked.text)) }
        return {
            val began = nanoTime()
            var firstAt = 0L
            var lastAt = 0L
            attempt(startEpoch) {
                try {
                    val answered = conversation.answer(history, asked.text, asked.maxNewTokens, { isStopping }) { text ->
                        lastAt = nanoTime()
                        if (firstAt == 0L) firstAt = lastAt
                        session.locked { changeLastTurn(startEpoch) { it.copy(answer = text) } }
                    }
                    val decodeS = (lastAt - firstAt) / 1e9
                    finish(startEpoch, asked, conversation.position, answered, if (firstAt == 0L) 0.0 else (firstAt - began) / 1e9, decodeS)
                } catch (_: ContextFullException) {
                    refuse(startEpoch, Problem.ContextFull(asked.text))
                } catch (error: PromptException) {
                    refuse(startEpoch, Problem.Input(lineOf(error)))
                }
            }
        }
    }

    private fun finish(startEpoch: Int, asked: Question, position: Int, answered: Answer?, firstTokenS: Double, decodeS: Double) =
        session.locked {
            if (epoch != startEpoch) return
            talk { copy(usedTokens = position) }
            if (answered == null) { // stopped before it began: asked again later, unless the user stopped it
                talk { copy(turns = turns.dropLast(1)) }
                if (!isWithdrawn) request { copy(question = asked) }
                return
            }
            val speed = if (answered.tokens > 1 && decodeS > 0) (answered.tokens - 1) / decodeS else 0.0
            val stats = AnswerStats(talk.imageS, firstTokenS, answered.tokens, speed)
            talk { copy(imageS = 0.0) }
            changeLastTurn(startEpoch) { it.copy(answer = answered.text, ended = answered.ended, stats = stats) }
        }

    /** Removes the question that began in [startEpoch]; it was never asked. */
    private fun refuse(startEpoch: Int, why: Problem) = session.locked {
        if (epoch == startEpoch) {
            talk { copy(turns = turns.dropLast(1)) }
            problem = why
        }
    }

    /** Runs [work], which began in [startEpoch]; a failure becomes part of the state. */
    private inline fun attempt(startEpoch: Int, work: () -> Unit) {
        try {
            work()
        } catch (error: Throwable) {
            session.locked {
                if (epoch == startEpoch) {
                    problem = if (error is PictureException) Problem.Input(lineOf(error)) else Problem.Engine(lineOf(error))
                    request { copy(question = null) }
                    if (running?.step == Step.ANSWER) changeLastTurn(startEpoch) { it.copy(ended = Ended.FAILED) }
                }
            }
        }
    }

    private fun lineOf(error: Throwable): String {
        val line = error.message?.lineSequence()?.firstOrNull { it.isNotBlank() } ?: error.javaClass.simpleName
        return if (error is MobileVlmException) line else "engine: $line"
    }
}
