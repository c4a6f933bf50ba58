import Foundation

/// Verifies a bundle's folder against its manifest.
public enum BundleFiles {
    private static let chunk = 1 << 20

    /// Checks every file of the bundle in `folder` and returns its manifest. `progress` receives bytes done and total bytes.
    ///
    /// - Throws: `BundleError` if a file is missing or damaged or the manifest can't be read; `CancellationError`.
    public static func verify(_ folder: URL, progress: (Int64, Int64) -> Void = { _, _ in }) throws -> Manifest {
        let manifest = try presentFiles(folder)
        try requireHashes(folder, manifest, progress)
        return manifest
    }

    /// Like `verify`, but hashes the files only if they have changed since they were last hashed.
    public static func verifyChanged(_ folder: URL, progress: (Int64, Int64) -> Void = { _, _ in }) throws -> Manifest {
        let manifest = try presentFiles(folder)
        let stamp = VerifiedStamp(folder, manifest)
        if stamp == VerifiedStamp.saved(in: folder) { return manifest }
        try requireHashes(folder, manifest, progress)
        stamp.save(in: folder)
        return manifest
    }

    /// The manifest of the bundle in `folder`, whose files exist with the listed sizes.
    private static func presentFiles(_ folder: URL) throws -> Manifest {
        let manifest = try ManifestReader.read(folder.appending(path: ManifestReader.fileName))
        let root = folder.resolvingSymlinksInPath().path + "/"
        for entry in manifest.files {
            let file = folder.appending(path: entry.path)
            let values = try? file.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
            guard values?.isRegularFile == true, file.resolvingSymlinksInPath().path.hasPrefix(root) else {
                throw BundleError("\(file.path): missing, expected \(entry.bytes) bytes")
            }
            guard let size = values?.fileSize, size == entry.bytes else {
                throw BundleError("\(file.path): got \(values?.fileSize ?? 0) bytes, expected \(entry.bytes)")
            }
        }
        return manifest
    }

    private static func requireHashes(_ folder: URL, _ manifest: Manifest, _ progress: (Int64, Int64) -> Void) throws {
        var done: Int64 = 0
        for entry in manifest.files {
            let file = folder.appending(path: entry.path)
            let got = try sha256(of: file) { count in
                done += Int64(count)
                progress(done, manifest.totalBytes)
            }
            try requireHash(got, entry, name: file.path)
        }
    }

    static func requireHash(_ got: String, _ entry: FileEntry, name: String) throws(BundleError) {
        if got != entry.sha256 {
            throw BundleError(
                "\(name): got SHA-256 \(got.prefix(16))…, expected \(entry.sha256.prefix(16))…: the file is damaged")
        }
    }

    private static func sha256(of file: URL, read: (Int) -> Void) throws -> String {
        var digest = SHA256Digest(), room = [UInt8](repeating: 0, count: chunk), at: UInt64 = 0
        do {
            let disk = try DiskFile(reading: file)
            while true {
                let count = try room.withUnsafeMutableBytes { room in
                    let count = try disk.read(into: room, at: at)
                    digest.update(UnsafeRawBufferPointer(rebasing: room[..<count]))
                    return count
                }
                if count == 0 { break }
                try Task.checkCancellation()
                at += UInt64(count)
                read(count)
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            throw BundleError("\(file.path): can't be read, expected a file of the bundle")
        }
        return digest.hex()
    }
}
