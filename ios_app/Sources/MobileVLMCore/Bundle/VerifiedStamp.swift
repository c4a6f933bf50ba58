import Foundation

/// A note in a bundle's folder that its files were hashed and matched the manifest: their sizes, times and inodes at that moment.
///
/// While they are the same, loading the bundle doesn't hash a gigabyte again. A copy has other inodes, so it is hashed once.
struct VerifiedStamp: Codable, Equatable {
    static let fileName = ".verified"

    /// What the file system knows of a file.
    struct File: Codable, Equatable {
        let bytes: Int64
        let modifiedSeconds: Int64
        let modifiedNanoseconds: Int64
        let inode: UInt64

        /// Of `file`; nil if it can't be read.
        init?(_ file: URL) {
            var status = stat()
            guard lstat(file.path, &status) == 0 else { return nil }
            #if canImport(Darwin)
                let modified = status.st_mtimespec
            #else
                let modified = status.st_mtim
            #endif
            bytes = Int64(status.st_size)
            modifiedSeconds = Int64(modified.tv_sec)
            modifiedNanoseconds = Int64(modified.tv_nsec)
            inode = UInt64(status.st_ino)
        }
    }

    /// The manifest's id.
    let manifest: String
    let files: [String: File]

    /// Of the bundle in `folder` as it is now.
    init(_ folder: URL, _ manifest: Manifest) {
        self.manifest = manifest.id
        files = Dictionary(
            manifest.files.compactMap { entry in File(folder.appending(path: entry.path)).map { (entry.path, $0) } },
            uniquingKeysWith: { first, _ in first })
    }

    /// The one saved in `folder`, if any.
    static func saved(in folder: URL) -> VerifiedStamp? {
        guard let bytes = try? Data(contentsOf: folder.appending(path: fileName)) else { return nil }
        return try? JSONDecoder().decode(VerifiedStamp.self, from: bytes)
    }

    /// Saves it in `folder`; if that fails, the next load hashes again.
    func save(in folder: URL) {
        try? JSONEncoder().encode(self).write(to: folder.appending(path: Self.fileName), options: .atomic)
    }

    /// Makes the next load hash the bundle in `folder` again.
    static func delete(in folder: URL) {
        try? FileManager.default.removeItem(at: folder.appending(path: fileName))
    }
}
