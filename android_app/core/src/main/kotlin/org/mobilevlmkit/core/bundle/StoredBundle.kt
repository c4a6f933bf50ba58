package org.mobilevlmkit.core.bundle

import java.io.File

/**
 * A bundle in the app's folder, as shown in a list.
 *
 * @property bytes its size on disk
 * @property addedMillis when it was added, in milliseconds since 1970
 * @property manifest null if it can't be read; [problem] says why
 * @property isUnreadable whether this app may not read its files: another app or adb made them
 */
data class StoredBundle(
    val folder: File,
    val bytes: Long,
    val addedMillis: Long,
    val manifest: Manifest?,
    val problem: String?,
    val isUnreadable: Boolean = false,
) {
    val name: String get() = folder.name.removeSuffix(BundleStore.SUFFIX)
    val isOutdated: Boolean get() = manifest?.isOutdated == true
    val recipe: String get() = manifest?.recipe?.get("name") ?: ""
}
