package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.Job
import java.io.File
import java.io.IOException

/**
 * Remembers which bundles were verified, so that an unchanged one of a gigabyte isn't hashed at every load: for each, a small file in
 * [folder] with the manifest's hash and every file's size and time. If one of these has changed, all files are hashed again. Damage that
 * leaves size and time as they were isn't found, so a bundle that the engine can't load is to be [forget]ten.
 */
class VerifiedBundles(private val folder: File) {
    /**
     * Checks the bundle in [bundle] as [BundleFiles.verify] does, or only its files' sizes and times if they are those of the last time.
     *
     * @throws org.mobilevlmkit.core.BundleException a file is missing or damaged, or the manifest can't be read.
     */
    fun verify(bundle: File, job: Job = Job()): Manifest {
        val manifest = ManifestReader.read(File(bundle, ManifestReader.FILE_NAME))
        val before = stampOf(bundle, manifest)
        if (before != null && before == read(bundle)) return manifest
        val verified = BundleFiles.verify(bundle, job)
        // Only what didn't change meanwhile was verified.
        if (before != null && before == stampOf(bundle, verified)) write(bundle, before) else forget(bundle)
        return verified
    }

    /** The next [verify] hashes every file of [bundle]. */
    fun forget(bundle: File) {
        stamp(bundle).delete()
    }

    private fun stamp(bundle: File) = File(folder, bundle.name)

    private fun stampOf(bundle: File, manifest: Manifest): String? {
        val files = manifest.files.map { entry ->
            val file = File(bundle, entry.path)
            if (!file.isFile || file.length() != entry.bytes) return null
            "${entry.bytes} ${file.lastModified()} ${entry.path}"
        }
        return (listOf(manifest.id) + files).joinToString("\n")
    }

    private fun read(bundle: File): String? = try {
        stamp(bundle).readText()
    } catch (_: IOException) {
        null
    }

    private fun write(bundle: File, text: String) {
        try {
            folder.mkdirs()
            stamp(bundle).writeText(text)
        } catch (_: IOException) {
            forget(bundle) // hashed again next time
        }
    }
}
