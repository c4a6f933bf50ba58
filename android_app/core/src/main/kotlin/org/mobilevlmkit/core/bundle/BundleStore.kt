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
 * A bundle is imported in a temporary folder that is renamed when all is there and checked; one that it replaces is renamed before, and
 * removed afterwards. If the app is killed meanwhile, [recover] at the next start puts back what was being replaced and has no successor,
 * and removes all else that is left: the old bundle or the new one is there, whole.
 *
 * @param onChange called before each change of the disk but the contents of files; tests end the app there
 */
class BundleStore internal constructor(private val folder: File, private val onChange: () -> Unit) {
    constructor(folder: File) : this(folder, {})

    /**
     * Puts in order what an import or a removal left when the app was killed. Call it once at start, before anything else.
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

    /** All bundles, newest first; those that can't be read say why. Their files' hashes aren't checked here. */
    fun list(): List<StoredBundle> = folder.listFiles().orEmpty()
        .filter { it.isDirectory && it.name.endsWith(SUFFIX) && !it.name.startsWith(".") }
        .map { describe(it) }
        .sortedWith(compareByDescending<StoredBundle> { it.addedMillis }.thenBy { it.name })

    /**
     * Unpacks and checks the zipped bundle that [open] reads; [fileName] is what the user calls it. The same bundle from before is
     * replaced; another one of that name stays, and this one gets a number.
     *
     * @throws BundleException the archive is damaged, unsafe, of a newer format, or doesn't fit the disk.
     * @throws OutdatedException its program would answer wrongly; nothing is unpacked.
     * @throws java.util.concurrent.CancellationException [job] was cancelled; nothing is left.
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
        val beside = File(folder, "$IMPORTING${System.nanoTime()}")
        try {
            onChange()
            if (!beside.mkdirs()) throw BundleException("$beside: can't be made, expected a folder to write in")
            archive.unpack(manifest, beside, job)
            write(File(beside, ManifestReader.FILE_NAME), bytes)
            return describe(moveIntoPlace(beside, manifest, safeName(fileName)))
        } finally {
            BundleFiles.delete(beside, onChange)
        }
    }

    /**
     * Removes [bundle] for good.
     *
     * @throws IOException something in it can't be removed.
     */
    fun remove(bundle: StoredBundle) = discard(bundle.folder)

    /** Removes [item], renamed first, so that no half of it is ever taken for a bundle. */
    private fun discard(item: File) {
        val removing = File(folder, "$REMOVING${System.nanoTime()}")
        BundleFiles.delete(if (rename(item, removing)) removing else item, onChange)
    }

    private fun moveIntoPlace(beside: File, manifest: Manifest, name: String): File {
        val same = list().firstOrNull { it.manifest?.id == manifest.id }
        val target = same?.folder ?: generateSequence(1) { it + 1 }
            .map { File(folder, if (it == 1) "$name$SUFFIX" else "$name $it$SUFFIX") }
            .first { !it.exists() }
        val replaced = File(folder, REPLACING + target.name)
        val isReplacing = same != null && rename(target, replaced)
        if (!rename(beside, target)) {
            if (isReplacing) rename(replaced, target)
            throw BundleException("$target: can't be written, expected to rename $beside")
        }
        try {
            if (isReplacing) discard(replaced)
        } catch (_: IOException) {
            // The new one is in its place; the next start removes what is left of the old one.
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
        return StoredBundle(bundle, BundleFiles.size(bundle), file.lastModified(), manifest, problem)
    }

    /** A folder's name on any file system, from a name that may hold anything. */
    private fun safeName(fileName: String): String {
        val base = fileName.substringAfterLast('/').removeSuffix(".zip").removeSuffix(SUFFIX)
        val plain = base.map { if (it.isLetterOrDigit() || it in "-_. ") it else '_' }.joinToString("")
        val safe = plain.trim(' ', '.').take(MAX_NAME).trim(' ', '.')
        return safe.ifEmpty { "bundle" }
    }

    companion object {
        const val SUFFIX = ".mvlm"
        private const val IMPORTING = ".import-"
        private const val REPLACING = ".replace-" // and the bundle's own folder name; always whole
        private const val REMOVING = ".remove-"
        private const val MAX_NAME = 80

        /** Bytes that stay free beside an imported bundle. */
        private const val RESERVE = 64L shl 20
    }
}
