package org.mobilevlmkit.core

/** What can go wrong and is to be told to the user: one line, "what was got, what was expected, where". */
abstract class MobileVlmException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** A bundle is missing, damaged, unsafe to unpack, or of a newer format. */
class BundleException(message: String) : MobileVlmException(message)

/** A picture has no pixels, or planes that don't fit its size. */
class PictureException(message: String) : MobileVlmException(message)

/** A question is empty, or leaves no room in the context. */
class PromptException(message: String) : MobileVlmException(message)

/** A golden record or a capture can't be read or written. */
class CaptureException(message: String) : MobileVlmException(message)

/** The engine failed, in its own words. */
class EngineException(message: String, cause: Throwable? = null) : MobileVlmException(message, cause)
