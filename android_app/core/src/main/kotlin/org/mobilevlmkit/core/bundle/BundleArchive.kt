package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import java.io.ByteArrayOutputStream
import java.io.EOFException
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipInputStream

/**
 * A zipped bundle read as a stream, so that no second copy is needed on disk. [open] is called once to find the
 * manifest and again to unpack; errors refer to it as [name].
 *
 * Only files listed in the manifest are unpacked, up to the listed size, and always as plain files: a
 * link becomes a short file with the wrong hash.
 */
class BundleArchive(val name: String, private val open: () -> InputStream) {
    /**
     * The manifest's bytes.
     *
     * @throws BundleException the archive is damaged, unsafe, or has no manifest.
     */
    fun manifestBytes(job: Job): ByteArray {
        var found: ByteArray? = null
        var skipped = 0L
        eachEntry { entry, input ->
            job.step(0, 0)
            if (entry.name == ManifestReader.FILE_NAME) {
                val bytes = input.readUpTo(ManifestReader.MAX_BYTES + 1)
                if (bytes.size > ManifestReader.MAX_BYTES) throw tooLong(entry.name, ManifestReader.MAX_BYTES.toLong())
                found = bytes
            } else {
                skipped = skip(input, job, skipped, MAX_BYTES_BEFORE_MANIFEST)
            }
            found == null
        }
        return found ?: throw BundleException("$name: ${ManifestReader.FILE_NAME} is missing from the archive")
    }

    /**
     * Unpacks the files listed in [manifest] into the empty [folder] and verifies them.
     *
     * @throws BundleException the archive is damaged or unsafe, or a file is missing or doesn't match the manifest.
     */
    fun unpack(manifest: Manifest, folder: File, job: Job) {
        val missing = manifest.files.associateByTo(HashMap()) { it.path }
        val seen = HashSet<String>()
        var done = 0L
        var skipped = 0L
        eachEntry { entry, input ->
            if (!seen.add(entry.name)) throw BundleException("$name: got ${entry.name} twice, expected it once")
            val listed = missing.remove(entry.name)
            if (listed == null) {
                skipped = skip(input, job, skipped, MAX_UNLISTED_BYTES)
            } else {
                done = unpackFile(input, listed, folder, done, manifest.totalBytes, job)
            }
            true
        }
        missing.keys.minOrNull()?.let { throw BundleException("$name: $it is missing from the archive") }
    }

    private fun unpackFile(input: InputStream, entry: FileEntry, folder: File, doneBefore: Long, total: Long, job: Job): Long {
        val file = File(folder, entry.path)
        file.parentFile?.mkdirs()
        val digest = Sha256.digest()
        val chunk = ByteArray(CHUNK)
        var size = 0L
        FileOutputStream(file).use { output ->
            while (true) {
                val count = input.read(chunk)
                if (count < 0) break
                size += count
                if (size > entry.bytes) throw tooLong(entry.path, entry.bytes)
                output.write(chunk, 0, count)
                digest.update(chunk, 0, count)
                job.step(doneBefore + size, total)
            }
            output.fd.sync()
        }
        BundleFiles.requireSize(file, entry, size)
        BundleFiles.requireHash(file, entry, Sha256.hex(digest.digest()))
        return doneBefore + size
    }

    /** Visits entries in the archive's order until [see] returns false. Skips folders. */
    private fun eachEntry(see: (ZipEntry, InputStream) -> Boolean) {
        try {
            ZipInputStream(open()).use { zip ->
                var count = 0
                while (true) {
                    val entry = zip.nextEntry ?: break
                    if (++count > MAX_ENTRIES) throw BundleException("$name: got more than $MAX_ENTRIES entries, expected fewer")
                    ManifestReader.requireInside(entry.name, name)
                    if (!entry.isDirectory && !see(entry, zip)) return
                }
                if (count == 0) throw ZipException("no entries")
            }
        } catch (error: ZipException) {
            throw damaged(error)
        } catch (error: EOFException) {
            throw damaged(error)
        } catch (error: IllegalArgumentException) { // a name that is not UTF-8
            throw damaged(error)
        } catch (error: IOException) {
            throw BundleException("$name: ${error.message}, expected a readable archive and a writable folder")
        }
    }

    /** Skips an entry by decompressing it. All skipped entries together may have [limit] bytes; [skippedBefore] is the count so far. */
    private fun skip(input: InputStream, job: Job, skippedBefore: Long, limit: Long): Long {
        val chunk = ByteArray(CHUNK)
        var skipped = skippedBefore
        while (true) {
            val count = input.read(chunk)
            if (count < 0) return skipped
            skipped += count
            if (skipped > limit) throw BundleException("$name: got more than $limit bytes of files that the manifest doesn't list")
            if (job.isCancelled) job.step(0, 0)
        }
    }

    private fun damaged(error: Exception) =
        BundleException("$name: got a damaged archive (${error.message ?: "cut short"}), expected a zipped bundle")

    private fun tooLong(entry: String, limit: Long) = BundleException("$name: $entry: got a larger file, expected at most $limit bytes")

    private fun InputStream.readUpTo(limit: Int): ByteArray {
        val read = ByteArrayOutputStream()
        val chunk = ByteArray(CHUNK)
        while (read.size() < limit) {
            val count = read(chunk, 0, minOf(chunk.size, limit - read.size()))
            if (count < 0) break
            read.write(chunk, 0, count)
        }
        return read.toByteArray()
    }

    private companion object {
        const val CHUNK = 1 shl 18
        const val MAX_ENTRIES = 10_000
        const val MAX_UNLISTED_BYTES = 1L shl 26
        const val MAX_BYTES_BEFORE_MANIFEST = 1L shl 34 // the bundle's own files may come before the manifest
    }
}
