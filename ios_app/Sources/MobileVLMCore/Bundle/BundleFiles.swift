import Foundation

/// Verifies a bundle's folder against its manifest.
public enum BundleFiles {
    private static let chunk = 1 << 20

    /// Checks every file of the bundle in `folder` and returns its manifest. `progress` receives bytes done and total bytes.
    ///
    /// - Throws: `BundleError` if a file is missing or damaged or the manifest can't be read; `CancellationError`.
    public static func verify(_ folder: URL, progress: (Int64, Int64) -> Void = { _, _ in }) throws -> Manifest {
        let manifest = try ManifestReader.read(folder.appending(path: ManifestReader.fileName))
        let root = folder.resolvingSymlinksInPath().path + "/"
        var done: Int64 = 0
        for entry in manifest.files {
            let file = folder.appending(path: entry.path)
            let values = try? file.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
            guard values?.isRegularFile == true, file.resolvingSymlinksInPath().path.hasPrefix(root) else {
                throw BundleError("\(file.path): missing, expected \(entry.bytes) bytes")
            }
            guard let size = values?.fileSize, size == entry.bytes else {
                throw BundleError("\(file.path): got \(values?.fileSize ?? 0) bytes, expected \(entry.bytes)")
            }
            let got = try sha256(of: file) { count in
                done += Int64(count)
                progress(done, manifest.totalBytes)
            }
            try requireHash(got, entry, name: file.path)
        }
        return manifest
    }

    static func requireHash(_ got: String, _ entry: FileEntry, name: String) throws(BundleError) {
        if got != entry.sha256 {
            throw BundleError(
                "\(name): got SHA-256 \(got.prefix(16))…, expected \(entry.sha256.prefix(16))…: the file is damaged")
        }
    }

    private static func sha256(of file: URL, read: (Int) -> Void) throws -> String {
        var digest = SHA256Digest()
        do {
            let handle = try FileHandle(forReadingFrom: file)
            defer { try? handle.close() }
            while let bytes = try handle.read(upToCount: chunk), !bytes.isEmpty {
                try Task.checkCancellation()
                digest.update(bytes)
                read(bytes.count)
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            throw BundleError("\(file.path): can't be read, expected a file of the bundle")
        }
        return digest.hex()
    }
}
