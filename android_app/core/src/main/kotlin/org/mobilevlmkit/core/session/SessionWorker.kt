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
            running = next()
            when (running) {
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
        val closing = model
        model = null
        conversation = null
        usedTokens = 0
        return {
            try {
                closing?.release()
            } catch (_: Exception) {
                // It is freed either way; the next load reports whether there is room.
            }
        }
    }

    private fun SessionModel.loadStep(): () -> Unit {
        val folder = checkNotNull(requestedBundle)
        val startCount = openCount
        val job = Job { done, total ->
            session.locked {
                loadProgress = if (total > 0) done.toFloat() / total else 0f
                publish()
            }
        }
        loading = job
        loadProgress = 0f
        return {
            try {
                val loaded = load(folder, job)
                session.locked {
                    model = loaded
                    conversation = Conversation(loaded, nanoTime)
                    // An earlier conversation is restored.
                    isToRefresh = pixels != null
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
            } finally {
                session.locked { loading = null }
            }
        }
    }

    private fun SessionModel.checkStep(): () -> Unit {
        val work = checkNotNull(check)
        val checked = checkNotNull(model)
        val job = Job()
        check = null
        checking = job
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
                checking = null
                usedTokens = 0
                model = checked.takeUnless { it.isReleased }
                conversation = model?.let { Conversation(it, nanoTime) }
                isToRefresh = pixels != null
                if (error != null && !job.isCancelled) problem = Problem.Check(lineOf(error))
            }
        }
    }

    private fun SessionModel.encodeStep(): () -> Unit {
        val conversation = checkNotNull(conversation)
        val picture = newPicture
        val encoded = pixels
        val history = history()
        val startEpoch = epoch
        val startPicture = pictureNumber
        newPicture = null
        isToRefresh = false
        return {
            attempt(startEpoch) {
                val encodedPixels = if (picture != null) conversation.pixels(picture) else checkNotNull(encoded)
                session.locked { if (pictureNumber == startPicture) pixels = encodedPixels }
                conversation.start(encodedPixels, history)
                session.locked {
                    if (epoch == startEpoch) {
                        usedTokens = conversation.position
                        imageS = conversation.imageS
                    }
                }
            }
        }
    }

    private fun SessionModel.answerStep(): () -> Unit {
        val conversation = checkNotNull(conversation)
        val asked = checkNotNull(question)
        val history = history()
        val startEpoch = epoch
        question = null
        turns = turns + ChatTurn(asked.text)
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
            usedTokens = position
            if (answered == null) { // stopped before it began: asked again later, unless the user stopped it
                turns = turns.dropLast(1)
                if (!isWithdrawn) question = asked
                return
            }
            val speed = if (answered.tokens > 1 && decodeS > 0) (answered.tokens - 1) / decodeS else 0.0
            val stats = AnswerStats(imageS, firstTokenS, answered.tokens, speed)
            imageS = 0.0
            changeLastTurn(startEpoch) { it.copy(answer = answered.text, ended = answered.ended, stats = stats) }
        }

    /** Removes the question that began in [startEpoch]; it was never asked. */
    private fun refuse(startEpoch: Int, why: Problem) = session.locked {
        if (epoch == startEpoch) {
            turns = turns.dropLast(1)
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
                    if (error is PictureException) pixels = null
                    question = null
                    if (running == Step.ANSWER) changeLastTurn(startEpoch) { it.copy(ended = Ended.FAILED) }
                }
            }
        }
    }

    private fun lineOf(error: Throwable): String {
        val line = error.message?.lineSequence()?.firstOrNull { it.isNotBlank() } ?: error.javaClass.simpleName
        return if (error is MobileVlmException) line else "engine: $line"
    }
}
