package org.mobilevlmkit.core.session

/** What the session is doing. */
enum class Phase {
    /** No bundle is chosen. */
    IDLE,

    /** A bundle is being verified and loaded. */
    LOADING,

    /** It couldn't be loaded; [SessionState.problem] says why. */
    FAILED,

    /** The model is out of memory while the app is in the background. */
    SUSPENDED,

    /** The model waits for a picture. */
    READY,

    /** The phone is being checked: the model is lent to [VlmSession.check]. */
    CHECKING,

    /** A picture is being encoded, or a conversation put back into the KV cache. */
    ENCODING,

    /** The picture is in the KV cache: a question may be asked. */
    IMAGE_READY,

    /** An answer is coming. */
    ANSWERING,
}

/** How an answer ended. */
enum class Ended { COMPLETE, LENGTH, STOPPED, FAILED }

/** A question and what has come of its answer; [ended] is null while it is coming. */
data class ChatTurn(val question: String, val answer: String = "", val ended: Ended? = null, val stats: AnswerStats? = null)

/**
 * Figures of an answer.
 *
 * @property imageS seconds to encode the picture and put it through the text decoder; 0 for a follow-up
 * @property firstTokenS seconds from the question to the first token
 * @property decodeTokensPerS tokens a second after the first; 0 if there was only one
 */
data class AnswerStats(val imageS: Double, val firstTokenS: Double, val tokens: Int, val decodeTokensPerS: Double)

/** What went wrong; shown beside the conversation, never as an answer. */
sealed class Problem {
    /** The bundle can't be used: damaged, of a newer format, without a program for this app. */
    data class Bundle(val message: String) : Problem()

    /** The program of the bundle [name] would answer wrongly: it must be exported again. */
    data class Outdated(val name: String) : Problem()

    /** The phone has [availableBytes] for a model that needs [neededBytes]. */
    data class Memory(val neededBytes: Long, val availableBytes: Long) : Problem()

    /** The engine failed. What it was doing can be tried again. */
    data class Engine(val message: String) : Problem()

    /** [question] doesn't fit into what is left of the context; a new chat about the same picture has more room. */
    data class ContextFull(val question: String) : Problem()

    /** The phone couldn't be checked: no golden records, no room for a capture, a failing engine. */
    data class Check(val message: String) : Problem()

    /** The picture or the question can't be used. */
    data class Input(val message: String) : Problem()
}

/**
 * All that a screen shows of the session; immutable.
 *
 * @property bundle the chosen bundle's folder name, or null
 * @property loadProgress share of the bundle that is verified, 0 to 1
 * @property picture the number of the picture, or of none: another one with each `show`, `close` and other bundle
 * @property isPictureWaiting whether the picture hasn't begun to be encoded, so that a newer one costs nothing
 * @property turns the conversation about the picture
 * @property waitingQuestion asked, but not begun yet
 * @property usedTokens tokens in the KV cache, of [maxTokens]
 * @property memory how well the loaded model fits the phone: a warning if it is [MemoryFit.TIGHT]
 */
data class SessionState(
    val phase: Phase = Phase.IDLE,
    val bundle: String? = null,
    val loadProgress: Float = 0f,
    val picture: Int = 0,
    val isPictureWaiting: Boolean = false,
    val turns: List<ChatTurn> = emptyList(),
    val waitingQuestion: String? = null,
    val usedTokens: Int = 0,
    val maxTokens: Int = 0,
    val memory: MemoryFit = MemoryFit.FITS,
    val problem: Problem? = null,
)
