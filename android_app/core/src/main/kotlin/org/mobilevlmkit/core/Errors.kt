package org.mobilevlmkit.core

import org.mobilevlmkit.core.bundle.ManifestReader

/** An error reported to the user in one line: what was got, what was expected, and where. */
abstract class MobileVlmException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** A bundle is missing, damaged, unsafe to unpack, or of a newer format. */
class BundleException(message: String) : MobileVlmException(message)

/** The bundle [name] has a program of an old format that gives wrong answers on phones; it must be exported again. */
class OutdatedException(val name: String, where: String) :
    MobileVlmException(
        "$where: got an ExecuTorch program of an older bundle format, which answers wrongly on phones, expected format " +
            "${ManifestReader.EXECUTORCH_SINCE}: export it again",
    )

/** A picture has no pixels, or planes that don't fit its size. */
class PictureException(message: String) : MobileVlmException(message)

/** A question is empty, or leaves no room in the context. */
class PromptException(message: String) : MobileVlmException(message)

/** A golden record or a capture can't be read or written. */
class CaptureException(message: String) : MobileVlmException(message)

/** The engine failed; the message is its own. */
class EngineException(message: String, cause: Throwable? = null) : MobileVlmException(message, cause)
