package org.mobilevlmkit.app

import android.graphics.Bitmap
import org.mobilevlmkit.core.bundle.LibraryState
import org.mobilevlmkit.core.check.Finding
import org.mobilevlmkit.core.check.Measurements
import org.mobilevlmkit.core.session.SessionState

/** Which screen is seen. */
enum class Screen { WELCOME, CHAT, BUNDLES, CHECK, SETTINGS, ABOUT }

/** What the camera shows, or why it shows nothing. */
enum class CameraState { OFF, OPEN, ASK_PERMISSION, DENIED, NO_CAMERA, IN_USE, FAILED }

/**
 * Live mode as it is seen.
 *
 * @property answer about the newest described frame; the last one's until the first word comes
 * @property isWhole whether no more of [answer] comes
 * @property seenAtMs when the frame that [answer] is about came (elapsed milliseconds); null before the first
 * @property isCoolingDown the phone is too warm, or saves its battery
 */
data class LiveState(
    val question: String,
    val answer: String = "",
    val isWhole: Boolean = false,
    val seenAtMs: Long? = null,
    val isCoolingDown: Boolean = false,
)

/** "Check this phone" as it is seen: findings as they come, then the speed; neither speed nor [failure] if it was interrupted. */
data class CheckState(
    val isRunning: Boolean = true,
    val findings: List<Finding> = emptyList(),
    val measurements: Measurements? = null,
    val failure: String? = null,
    val isCapturing: Boolean = false,
)

/** All that the screen shows; immutable. */
data class UiState(
    val screen: Screen = Screen.CHAT,
    val library: LibraryState = LibraryState(),
    val session: SessionState = SessionState(),
    val picture: Bitmap? = null,
    val isReadingPicture: Boolean = false,
    val pictureProblem: String? = null,
    val hasPrevious: Boolean = false,
    val camera: CameraState = CameraState.OFF,
    val live: LiveState? = null,
    val check: CheckState? = null,
    val hasCrashed: Boolean = false,
    val speaking: String? = null,
    val showsStats: Boolean = true,
    val presets: List<String> = emptyList(),
) {
    val bundles get() = library.bundles
}
