import Foundation

/// A zipped bundle. Only files listed in its manifest are unpacked, up to the listed size, and always as plain files:
/// a link becomes a short file with the wrong hash.
struct BundleArchive {
    private let zip: ZipArchive

    /// Opens `file`; errors refer to it as `name`.
    init(_ file: URL, name: String) throws {
        zip = try ZipArchive(file, name: name)
    }

    /// The manifest's bytes.
    ///
    /// - Throws: `BundleError` if the archive is damaged or has no manifest.
    func manifestBytes() throws -> Data {
        guard let entry = zip.entries.first(where: { $0.name == ManifestReader.fileName }) else {
            throw BundleError("\(zip.name): \(ManifestReader.fileName) is missing from the archive")
        }
        guard entry.bytes <= ManifestReader.maxBytes else {
            throw BundleError("\(zip.name): \(entry.name): got a larger file, expected at most \(ManifestReader.maxBytes) bytes")
        }
        var bytes = Data()
        try zip.read(entry) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// Unpacks the files listed in `manifest` into the empty `folder` and verifies them.
    ///
    /// - Throws: `BundleError` if the archive is damaged, or a file is missing or doesn't match the manifest; `CancellationError`.
    func unpack(_ manifest: Manifest, into folder: URL, progress: (Int64, Int64) -> Void) throws {
        let packed = Dictionary(uniqueKeysWithValues: zip.entries.map { (Array($0.name.utf8), $0) })
        var done: Int64 = 0
        for listed in manifest.files {
            guard let entry = packed[Array(listed.path.utf8)] else {
                throw BundleError("\(zip.name): \(listed.path) is missing from the archive")
            }
            guard entry.bytes == listed.bytes else {
                throw BundleError("\(zip.name): \(listed.path): got \(entry.bytes) bytes, expected \(listed.bytes)")
            }
            let file = folder.appending(path: listed.path)
            var digest = SHA256Digest()
            try write(file) { disk in
                try zip.read(entry) { content in
                    try disk.write(content)
                    digest.update(content)
                    done += Int64(content.count)
                    progress(done, manifest.totalBytes)
                }
            }
            try BundleFiles.requireHash(digest.hex(), listed, name: "\(zip.name): \(listed.path)")
        }
    }

    private func write(_ file: URL, _ content: (DiskFile) throws -> Void) throws {
        do {
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            let disk = try DiskFile(creating: file)
            try content(disk)
            try disk.synchronize()
        } catch let error as BundleError {
            throw error
        } catch let error as CancellationError {
            throw error
        } catch {
            throw BundleError(
                "\(file.lastPathComponent): can't be written (\(error.localizedDescription)), expected room for the bundle")
        }
    }
}
