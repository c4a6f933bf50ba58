package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.OutdatedException
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream

/**
 * The bundles in the app's own [folder], each a folder `NAME.mvlm`: imported from a zip or pushed by `mvlm push`.
 *
 * A bundle is imported into a temporary folder, which is renamed once complete and verified. A bundle that it replaces is renamed first
 * and deleted afterwards. If the app is killed in between, [recover] restores a replaced bundle that has no successor at the next start
 * and deletes all other leftovers, so that either the old or the new bundle exists, complete.
 *
 * @param onChange called before each change on disk except writes of file contents; tests kill the app there
 */
class BundleStore internal constructor(private val folder: File, private val onChange: () -> Unit) {
    constructor(folder: File) : this(folder, {})

    /**
     * Cleans up after an import or a deletion that the app's end interrupted. Call it once at start, before anything else.
     *
     * @throws IOException something can't be removed.
     */
    fun recover() {
        val left = folder.listFiles().orEmpty()
        for (replaced in left.filter { it.name.startsWith(REPLACING) }) {
            val place = File(folder, replaced.name.removePrefix(REPLACING))
            if (place.exists()) discard(replaced) else rename(replaced, place)
        }
        left.filter { it.name.startsWith(IMPORTING) || it.name.startsWith(REMOVING) }.forEach { BundleFiles.delete(it, onChange) }
    }

    /** All bundles, newest first; unreadable ones have a problem. File hashes aren't checked here. */
    fun list(): List<StoredBundle> = folder.listFiles().orEmpty()
        .filter { it.isDirectory && it.name.endsWith(SUFFIX) && !it.name.startsWith(".") }
        .map { describe(it) }
        .sortedWith(compareByDescending<StoredBundle> { it.addedMillis }.thenBy { it.name })

    /**
     * Unpacks and verifies the zipped bundle that [open] reads; [fileName] is its name for the user. An earlier copy of the same bundle is
     * replaced; if another bundle has that name, this one gets a number.
     *
     * @throws BundleException the archive is damaged, unsafe, of a newer format, or too large for the disk.
     * @throws OutdatedException its program would give wrong answers; nothing is unpacked.
     * @throws java.util.concurrent.CancellationException [job] was cancelled; no files are left.
     */
    fun import(fileName: String, open: () -> InputStream, job: Job = Job()): StoredBundle {
        val archive = BundleArchive(fileName, open)
        val bytes = archive.manifestBytes(job)
        val manifest = ManifestReader.read(bytes, "$fileName: ${ManifestReader.FILE_NAME}")
        if (manifest.isOutdated) throw OutdatedException(fileName.removeSuffix(".zip").removeSuffix(SUFFIX), fileName)
        folder.mkdirs()
        val room = folder.usableSpace
        if (room < manifest.totalBytes + RESERVE) {
            throw BundleException("$fileName: got ${room shr 20} MB free, expected ${manifest.totalBytes + RESERVE shr 20} MB")
        }
        val partial = File(folder, "$IMPORTING${System.nanoTime()}")
        try {
            onChange()
            if (!partial.mkdirs()) throw BundleException("$partial: can't be created, expected a writable folder")
            archive.unpack(manifest, partial, job)
            write(File(partial, ManifestReader.FILE_NAME), bytes)
            return describe(moveIntoPlace(partial, manifest, safeName(fileName)))
        } finally {
            BundleFiles.delete(partial, onChange)
        }
    }

    /**
     * Deletes [bundle] permanently.
     *
     * @throws IOException something in it can't be deleted.
     */
    fun remove(bundle: StoredBundle) = discard(bundle.folder)

    /** Renames [item] before deleting it, so that a half-deleted folder never counts as a bundle. */
    private fun discard(item: File) {
        val removing = File(folder, "$REMOVING${System.nanoTime()}")
        BundleFiles.delete(if (rename(item, removing)) removing else item, onChange)
    }

    private fun moveIntoPlace(partial: File, manifest: Manifest, name: String): File {
        val same = list().firstOrNull { it.manifest?.id == manifest.id }
        val target = same?.folder ?: generateSequence(1) { it + 1 }
            .map { File(folder, if (it == 1) "$name$SUFFIX" else "$name $it$SUFFIX") }
            .first { !it.exists() }
        val replaced = File(folder, REPLACING + target.name)
        val isReplacing = same != null && rename(target, replaced)
        if (!rename(partial, target)) {
            if (isReplacing) rename(replaced, target)
            throw BundleException("$target: can't be written, expected to rename $partial to it")
        }
        try {
            if (isReplacing) discard(replaced)
        } catch (_: IOException) {
            // The new one is in place; the next start deletes the rest of the old one.
        }
        return target
    }

    private fun rename(from: File, to: File): Boolean {
        onChange()
        return from.renameTo(to)
    }

    private fun write(file: File, bytes: ByteArray) {
        onChange()
        FileOutputStream(file).use {
            it.write(bytes)
            it.fd.sync()
        }
    }

    private fun describe(bundle: File): StoredBundle {
        val file = File(bundle, ManifestReader.FILE_NAME)
        val (manifest, problem) = try {
            ManifestReader.read(file) to null
        } catch (error: BundleException) {
            null to error.message
        }
        val isUnreadable = manifest == null && (bundle.list() == null || file.exists() && !file.canRead())
        return StoredBundle(bundle, BundleFiles.size(bundle), file.lastModified(), manifest, problem, isUnreadable)
    }

    /** A folder name that is valid on every file system, made from an arbitrary name. */
    private fun safeName(fileName: String): String {
        val base = fileName.substringAfterLast('/').removeSuffix(".zip").removeSuffix(SUFFIX)
        val plain = base.map { if (it.isLetterOrDigit() || it in "-_. ") it else '_' }.joinToString("")
        val safe = plain.trim(' ', '.').take(MAX_NAME).trim(' ', '.')
        return safe.ifEmpty { "bundle" }
    }

    companion object {
        const val SUFFIX = ".mvlm"
        private const val IMPORTING = ".import-"
        private const val REPLACING = ".replace-" // followed by the bundle's folder name; always complete
        private const val REMOVING = ".remove-"
        private const val MAX_NAME = 80

        /** Bytes that must stay free after an import. */
        private const val RESERVE = 64L shl 20
    }
}
