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
 * Brings about what the [situation] wants, one step after another on [executor]. Its lock is held to read what a step works on and to
 * note what came of it, never while the engine works.
 */
internal class SessionWorker(
    private val situation: Situation,
    private val load: (File, Job) -> LoadedModel,
    private val executor: Executor,
    private val nanoTime: () -> Long,
) {
    private var isScheduled = false // guarded by the situation's lock

    /** Begins the next step if there is one and none runs. The caller holds the situation's lock. */
    fun schedule() {
        if (isScheduled || situation.next() == null) return
        isScheduled = true
        executor.execute(::runStep)
    }

    private fun runStep() {
        // What a step works on is taken at the moment in which the step is chosen, so that no wish comes between the two.
        val work = situation.locked {
            isStopping = false
            isTakenBack = false
            running = next()
            when (running) {
                Step.UNLOAD -> unloading()
                Step.LOAD -> loading()
                Step.CHECK -> checking()
                Step.LOOK -> looking()
                Step.ANSWER -> answering()
                null -> null
            }.also { publish() }
        }
        try {
            work?.invoke()
        } finally {
            situation.locked {
                running = null
                isScheduled = false
                publish()
                schedule()
            }
        }
    }

    private fun Situation.unloading(): () -> Unit {
        val closing = model
        model = null
        conversation = null
        usedTokens = 0
        return {
            try {
                closing?.release()
            } catch (_: Exception) {
                // It is gone either way; a model that is loaded next says whether there is room.
            }
        }
    }

    private fun Situation.loading(): () -> Unit {
        val folder = checkNotNull(wanted)
        val mine = openings
        val job = Job { done, total ->
            situation.locked {
                loadProgress = if (total > 0) done.toFloat() / total else 0f
                publish()
            }
        }
        loading = job
        loadProgress = 0f
        return {
            try {
                val loaded = load(folder, job)
                situation.locked {
                    model = loaded
                    conversation = Conversation(loaded, nanoTime)
                    // A conversation from before is put back.
                    isToRefresh = pixels != null
                }
            } catch (_: CancellationException) {
                // Another wish came; the next step sees it.
            } catch (error: Throwable) {
                situation.locked {
                    // A bundle that was opened again meanwhile may be another one by now, and is loaded again.
                    if (openings == mine) {
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
                situation.locked { loading = null }
            }
        }
    }

    private fun Situation.checking(): () -> Unit {
        val work = checkNotNull(check)
        val lent = checkNotNull(model)
        val job = Job()
        check = null
        checking = job
        return {
            val error = try {
                work(lent, job)
                null
            } catch (_: CancellationException) {
                null // as it was told to
            } catch (thrown: Throwable) {
                thrown
            }
            situation.locked {
                checking = null
                usedTokens = 0
                model = lent.takeUnless { it.isReleased }
                conversation = model?.let { Conversation(it, nanoTime) }
                isToRefresh = pixels != null
                if (error != null && !job.isCancelled) problem = Problem.Check(lineOf(error))
            }
        }
    }

    private fun Situation.looking(): () -> Unit {
        val talk = checkNotNull(conversation)
        val picture = newPicture
        val seen = pixels
        val history = history()
        val mine = epoch
        val about = pictures
        newPicture = null
        isToRefresh = false
        return {
            attempt(mine) {
                val shown = if (picture != null) talk.pixels(picture) else checkNotNull(seen)
                situation.locked { if (pictures == about) pixels = shown }
                talk.look(shown, history)
                situation.locked {
                    if (epoch == mine) {
                        usedTokens = talk.position
                        imageS = talk.imageS
                    }
                }
            }
        }
    }

    private fun Situation.answering(): () -> Unit {
        val talk = checkNotNull(conversation)
        val asked = checkNotNull(question)
        val history = history()
        val mine = epoch
        question = null
        turns = turns + ChatTurn(asked.text)
        return {
            val began = nanoTime()
            var firstAt = 0L
            var lastAt = 0L
            attempt(mine) {
                try {
                    val answered = talk.answer(history, asked.text, asked.maxNewTokens, { isStopping }) { text ->
                        lastAt = nanoTime()
                        if (firstAt == 0L) firstAt = lastAt
                        situation.locked { changeLastTurn(mine) { it.copy(answer = text) } }
                    }
                    val decodeS = (lastAt - firstAt) / 1e9
                    finish(mine, asked, talk.position, answered, if (firstAt == 0L) 0.0 else (firstAt - began) / 1e9, decodeS)
                } catch (_: ContextFullException) {
                    refuse(mine, Problem.ContextFull(asked.text))
                } catch (error: PromptException) {
                    refuse(mine, Problem.Input(lineOf(error)))
                }
            }
        }
    }

    private fun finish(mine: Int, asked: Question, position: Int, answered: Answered?, firstTokenS: Double, decodeS: Double) =
        situation.locked {
            if (epoch != mine) return
            usedTokens = position
            if (answered == null) { // stopped before it began: asked later, unless the user stopped it
                turns = turns.dropLast(1)
                if (!isTakenBack) question = asked
                return
            }
            val speed = if (answered.tokens > 1 && decodeS > 0) (answered.tokens - 1) / decodeS else 0.0
            val stats = AnswerStats(imageS, firstTokenS, answered.tokens, speed)
            imageS = 0.0
            changeLastTurn(mine) { it.copy(answer = answered.text, ended = answered.ended, stats = stats) }
        }

    /** The question that began with [mine] was never asked. */
    private fun refuse(mine: Int, why: Problem) = situation.locked {
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
            situation.locked {
                if (epoch == mine) {
                    problem = if (error is PictureException) Problem.Input(lineOf(error)) else Problem.Engine(lineOf(error))
                    if (error is PictureException) pixels = null
                    question = null
                    if (running == Step.ANSWER) changeLastTurn(mine) { it.copy(ended = Ended.FAILED) }
                }
            }
        }
    }

    private fun lineOf(error: Throwable): String {
        val line = error.message?.lineSequence()?.firstOrNull { it.isNotBlank() } ?: error.javaClass.simpleName
        return if (error is MobileVlmException) line else "engine: $line"
    }
}
