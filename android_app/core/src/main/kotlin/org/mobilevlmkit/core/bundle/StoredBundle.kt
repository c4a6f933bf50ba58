package org.mobilevlmkit.core.bundle

import java.io.File

/**
 * A bundle in the app's folder, as a list shows it.
 *
 * @property bytes what it takes on the disk
 * @property addedMillis when it came, in milliseconds since 1970
 * @property manifest what it says of itself; null where [problem] says why it can't be read
 */
data class StoredBundle(val folder: File, val bytes: Long, val addedMillis: Long, val manifest: Manifest?, val problem: String?) {
    val name: String get() = folder.name.removeSuffix(BundleStore.SUFFIX)
    val isOutdated: Boolean get() = manifest?.isOutdated == true
    val recipe: String get() = manifest?.recipe?.get("name") ?: ""
}
