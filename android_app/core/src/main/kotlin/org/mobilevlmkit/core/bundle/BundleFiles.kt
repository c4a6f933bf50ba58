package org.mobilevlmkit.core.bundle

import org.mobilevlmkit.core.BundleException
import org.mobilevlmkit.core.Job
import java.io.File
import java.io.IOException
import java.nio.file.FileVisitResult
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.SimpleFileVisitor
import java.nio.file.attribute.BasicFileAttributes

/** Verifies a bundle's folder against its manifest, and deletes it. */
object BundleFiles {
    private const val CHUNK = 1 shl 20

    /**
     * Checks every file of the bundle in [folder] and returns its manifest.
     *
     * @throws BundleException a file is missing or damaged, or the manifest can't be read.
     */
    fun verify(folder: File, job: Job = Job()): Manifest {
        val manifest = ManifestReader.read(File(folder, ManifestReader.FILE_NAME))
        val root = folder.canonicalPath + File.separator
        val chunk = ByteArray(CHUNK)
        var done = 0L
        for (entry in manifest.files) {
            val file = File(folder, entry.path)
            if (!file.isFile || !file.canonicalPath.startsWith(root)) throw BundleException("$file: missing, expected ${entry.bytes} bytes")
            requireSize(file, entry, file.length())
            val digest = Sha256.digest()
            try {
                file.inputStream().use { input ->
                    while (true) {
                        val count = input.read(chunk)
                        if (count < 0) break
                        digest.update(chunk, 0, count)
                        done += count
                        job.step(done, manifest.totalBytes)
                    }
                }
            } catch (error: IOException) {
                throw BundleException("$file: ${error.message}, expected ${entry.bytes} bytes")
            }
            requireHash(file, entry, Sha256.hex(digest.digest()))
        }
        return manifest
    }

    internal fun requireSize(file: File, entry: FileEntry, got: Long) {
        if (got != entry.bytes) throw BundleException("$file: got $got bytes, expected ${entry.bytes}")
    }

    internal fun requireHash(file: File, entry: FileEntry, got: String) {
        if (got != entry.sha256) {
            throw BundleException("$file: got SHA-256 ${got.take(16)}…, expected ${entry.sha256.take(16)}…: the file is damaged")
        }
    }

    /** Bytes of all files below [folder]. */
    fun size(folder: File): Long {
        var bytes = 0L
        visit(folder) { _, size -> bytes += size }
        return bytes
    }

    /**
     * Deletes [folder] with its contents if it exists; links are deleted, not followed. [onChange] is called before each deletion.
     *
     * @throws IOException something in it can't be deleted.
     */
    fun delete(folder: File, onChange: () -> Unit = {}) {
        val remove = { path: Path, _: Long ->
            onChange()
            Files.deleteIfExists(path)
            Unit
        }
        if (Files.isSymbolicLink(folder.toPath()) || folder.isFile) remove(folder.toPath(), 0) else visit(folder, remove)
    }

    /** Calls [see] with every file below [folder] and its size, then with its folder and 0; skips files that disappear meanwhile. */
    private fun visit(folder: File, see: (Path, Long) -> Unit) {
        if (!folder.isDirectory) return
        Files.walkFileTree(
            folder.toPath(),
            object : SimpleFileVisitor<Path>() {
                override fun visitFile(file: Path, attrs: BasicFileAttributes): FileVisitResult {
                    see(file, if (attrs.isRegularFile) attrs.size() else 0)
                    return FileVisitResult.CONTINUE
                }

                override fun visitFileFailed(file: Path, exc: IOException): FileVisitResult = FileVisitResult.CONTINUE

                override fun postVisitDirectory(dir: Path, exc: IOException?): FileVisitResult {
                    see(dir, 0)
                    return FileVisitResult.CONTINUE
                }
            },
        )
    }
}
