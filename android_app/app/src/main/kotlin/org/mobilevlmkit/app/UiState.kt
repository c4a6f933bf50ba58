package org.mobilevlmkit.app

import android.graphics.Bitmap
import org.mobilevlmkit.core.bundle.LibraryState
import org.mobilevlmkit.core.check.Finding
import org.mobilevlmkit.core.check.Measurements
import org.mobilevlmkit.core.session.SessionState

/** The current screen. */
enum class Screen { WELCOME, CHAT, BUNDLES, CONVERSATIONS, CHECK, SETTINGS, ABOUT }

/** The camera's state. */
enum class CameraState { OFF, OPEN, ASK_PERMISSION, DENIED, NO_CAMERA, IN_USE, TOO_HOT, FAILED }

/**
 * The visible state of live mode.
 *
 * @property answer about the newest described frame; the previous answer until the first word arrives
 * @property isWhole whether [answer] is complete
 * @property seenAtMs when the frame that [answer] describes arrived (elapsed milliseconds); null before the first
 * @property isCoolingDown the phone is too warm or saving battery
 */
data class LiveState(
    val question: String,
    val answer: String = "",
    val isWhole: Boolean = false,
    val seenAtMs: Long? = null,
    val isCoolingDown: Boolean = false,
)

/** The visible state of "Check this phone": findings, then measurements; neither measurements nor [failure] if interrupted. */
data class CheckState(
    val isRunning: Boolean = true,
    val findings: List<Finding> = emptyList(),
    val measurements: Measurements? = null,
    val failure: String? = null,
    val isCapturing: Boolean = false,
)

/**
 * Everything the screens show; immutable.
 *
 * @property picture the picture of the conversation, small enough for the screen; null while the camera is aimed
 * @property pictureSize width and height of the picture itself
 * @property isPart whether it is a part of another picture
 * @property isEnlarged whether it is shown alone
 * @property isLiveMode whether the camera's button begins live mode; [live] is what it shows
 * @property keptConversations their number
 * @property conversations those on the screen that lists them
 */
data class UiState(
    val screen: Screen = Screen.CHAT,
    val library: LibraryState = LibraryState(),
    val session: SessionState = SessionState(),
    val picture: Bitmap? = null,
    val pictureSize: Pair<Int, Int> = 1 to 1,
    val isPart: Boolean = false,
    val isEnlarged: Boolean = false,
    val isReadingPicture: Boolean = false,
    val pictureProblem: String? = null,
    val hasPrevious: Boolean = false,
    val camera: CameraState = CameraState.OFF,
    val traits: CameraTraits = CameraTraits(),
    val controls: CameraControls = CameraControls(),
    val isLiveMode: Boolean = false,
    val live: LiveState? = null,
    val keptConversations: Int = 0,
    val conversations: List<KeptConversation> = emptyList(),
    val check: CheckState? = null,
    val hasCrashed: Boolean = false,
    val speaking: String? = null,
    val showsDetails: Boolean = false,
    val presets: List<String> = emptyList(),
) {
    val bundles get() = library.bundles

    /** The name of the model in use. */
    val modelName: String? get() = bundles.firstOrNull { it.folder.name == session.bundle }?.name
}
