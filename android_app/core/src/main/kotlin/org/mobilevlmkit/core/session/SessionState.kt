package org.mobilevlmkit.core.session

/** What the session is doing. */
enum class Phase {
    /** No bundle is selected. */
    IDLE,

    /** A bundle is being verified and loaded. */
    LOADING,

    /** It couldn't be loaded; [SessionState.problem] says why. */
    FAILED,

    /** The model was freed while the app is in the background. */
    SUSPENDED,

    /** The model waits for a picture. */
    READY,

    /** "Check this phone" is using the model ([VlmSession.check]). */
    CHECKING,

    /** A picture is being encoded, or a conversation is being restored in the KV cache. */
    ENCODING,

    /** The picture is in the KV cache: a question may be asked. */
    IMAGE_READY,

    /** An answer is being generated. */
    ANSWERING,
}

/** How an answer ended. */
enum class Ended { COMPLETE, LENGTH, STOPPED, FAILED }

/** A question and its answer so far; [ended] is null until it is finished. */
data class ChatTurn(val question: String, val answer: String = "", val ended: Ended? = null, val stats: AnswerStats? = null)

/**
 * Statistics of an answer.
 *
 * @property imageS seconds to encode the image and run it through the text decoder; 0 for a follow-up
 * @property firstTokenS seconds from the question to the first token
 * @property decodeTokensPerS tokens per second after the first; 0 if there was only one
 */
data class AnswerStats(val imageS: Double, val firstTokenS: Double, val tokens: Int, val decodeTokensPerS: Double)

/** What went wrong; shown next to the conversation, never as an answer. */
sealed class Problem {
    /** The bundle can't be used: damaged, of a newer format, without a program for this app. */
    data class Bundle(val message: String) : Problem()

    /** The program of the bundle [name] would give wrong answers; it must be exported again. */
    data class Outdated(val name: String) : Problem()

    /** The phone has [availableBytes] for a model that needs [neededBytes]. */
    data class Memory(val neededBytes: Long, val availableBytes: Long) : Problem()

    /** The engine failed. The operation can be retried. */
    data class Engine(val message: String) : Problem()

    /** [question] doesn't fit the remaining context; a new chat about the same picture has more room. */
    data class ContextFull(val question: String) : Problem()

    /** The phone couldn't be checked: no golden records, no room for a capture, a failing engine. */
    data class Check(val message: String) : Problem()

    /** The picture or the question can't be used. */
    data class Input(val message: String) : Problem()
}

/**
 * Everything a screen shows about the session; immutable.
 *
 * @property bundle the selected bundle's folder name, or null
 * @property loadProgress fraction of the bundle verified, 0 to 1
 * @property picture the picture's number; changes with each `show`, `close` and change of bundle
 * @property isPictureWaiting whether encoding hasn't begun, so that replacing the picture costs nothing
 * @property turns the conversation about the picture
 * @property waitingQuestion asked, but not being answered yet
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
