import Foundation

/// A bundle in the app's folder, as shown in a list.
public struct StoredBundle: Sendable, Equatable, Identifiable {
    public let folder: URL
    /// Its size on disk.
    public let bytes: Int64
    public let added: Date
    /// Nil if it can't be read; `problem` says why.
    public let manifest: Manifest?
    public let problem: String?

    public var id: URL { folder }
    public var name: String { folder.deletingPathExtension().lastPathComponent }
    public var recipe: String { manifest?.recipe["name"] ?? "" }
}

/// The bundles in the app's own `folder`, each a folder `NAME.mvlm`: imported from a zip, or copied by a computer.
///
/// A bundle is imported into a temporary folder, which is renamed once complete and verified. A bundle that it replaces is renamed first
/// and deleted afterwards. If the app is killed in between, `recover` restores a replaced bundle that has no successor at the next start
/// and deletes all other leftovers, so that either the old or the new bundle exists, complete.
public struct BundleStore: Sendable {
    static let suffix = "mvlm"
    private static let importing = ".import-"
    private static let replacing = ".replace-"  // followed by the bundle's folder name; always complete
    private static let removing = ".remove-"
    private static let maxName = 80

    private let folder: URL
    private let onChange: @Sendable () -> Void

    public init(_ folder: URL) {
        self.init(folder, onChange: {})
    }

    /// - Parameter onChange: called before a folder is created, renamed or deleted; tests check there what a killed app would leave
    init(_ folder: URL, onChange: @escaping @Sendable () -> Void) {
        self.folder = folder
        self.onChange = onChange
    }

    /// Cleans up after an import or a deletion that the app's end interrupted. Call it once at start, before anything else.
    public func recover() {
        let left = contents()
        for replaced in left where replaced.lastPathComponent.hasPrefix(Self.replacing) {
            let place = folder.appending(path: replaced.lastPathComponent.dropFirst(Self.replacing.count))
            if FileManager.default.fileExists(atPath: place.path) { discard(replaced) } else { try? rename(replaced, to: place) }
        }
        for item in left
        where item.lastPathComponent.hasPrefix(Self.importing) || item.lastPathComponent.hasPrefix(Self.removing) {
            erase(item)
        }
    }

    /// All bundles, newest first; unreadable ones have a problem. File hashes aren't checked here.
    public func list() -> [StoredBundle] {
        contents()
            .filter { $0.pathExtension == Self.suffix && !$0.lastPathComponent.hasPrefix(".") && isFolder($0) }
            .map(describe)
            .sorted { $0.added != $1.added ? $0.added > $1.added : $0.name < $1.name }
    }

    /// Unpacks and verifies the zipped bundle in `file`. An earlier copy of the same bundle is replaced; if another bundle has that name,
    /// this one gets a number.
    ///
    /// - Throws: `BundleError` if the archive is damaged, unsafe, of a newer format, or doesn't fit the disk; `CancellationError`: the
    ///   task was cancelled; no files are left.
    public func add(_ file: URL, progress: (Int64, Int64) -> Void = { _, _ in }) throws -> StoredBundle {
        let name = file.lastPathComponent
        let archive = try BundleArchive(file, name: name)
        let bytes = try archive.manifestBytes()
        let manifest = try ManifestReader.read(bytes, name: "\(name): \(ManifestReader.fileName)")
        let partial = folder.appending(path: Self.importing + UUID().uuidString)
        defer { erase(partial) }
        do {
            onChange()
            try FileManager.default.createDirectory(at: partial, withIntermediateDirectories: true)
        } catch {
            throw BundleError("\(partial.path): can't be created, expected a writable folder")
        }
        try requireRoom(manifest.totalBytes, name: name)
        try archive.unpack(manifest, into: partial, progress: progress)
        try bytes.write(to: partial.appending(path: ManifestReader.fileName))
        VerifiedStamp(partial, manifest).save(in: partial)
        return describe(try moveIntoPlace(partial, manifest, name: Self.safeName(name)))
    }

    /// Deletes `bundle` permanently.
    public func remove(_ bundle: StoredBundle) { discard(bundle.folder) }

    /// Renames `item` before deleting it, so that a half-deleted folder never counts as a bundle.
    private func discard(_ item: URL) {
        let aside = folder.appending(path: Self.removing + UUID().uuidString)
        let isAside = (try? rename(item, to: aside)) != nil
        erase(isAside ? aside : item)
    }

    private func rename(_ item: URL, to place: URL) throws {
        onChange()
        try FileManager.default.moveItem(at: item, to: place)
    }

    private func erase(_ item: URL) {
        onChange()
        try? FileManager.default.removeItem(at: item)
    }

    private func requireRoom(_ bytes: Int64, name: String) throws {
        let needed = bytes + DiskSpace.reserve
        guard let room = DiskSpace.free(at: folder), room < needed else { return }
        throw BundleError("\(name): got \(room >> 20) MB free, expected \(needed >> 20) MB")
    }

    private func moveIntoPlace(_ partial: URL, _ manifest: Manifest, name: String) throws -> URL {
        let same = list().first { $0.manifest?.id == manifest.id }
        let numbered = (1...).lazy.map {
            folder.appending(path: $0 == 1 ? "\(name).\(Self.suffix)" : "\(name) \($0).\(Self.suffix)")
        }
        let target = same?.folder ?? numbered.first { !FileManager.default.fileExists(atPath: $0.path) }!
        let replaced = folder.appending(path: Self.replacing + target.lastPathComponent)
        let isReplacing = same != nil && (try? rename(target, to: replaced)) != nil
        do {
            try rename(partial, to: target)
        } catch {
            if isReplacing { try? rename(replaced, to: target) }
            throw BundleError("\(target.path): can't be written, expected to rename \(partial.path) to it")
        }
        if isReplacing { discard(replaced) }
        return target
    }

    private func describe(_ item: URL) -> StoredBundle {
        let bundle = folder.appending(path: item.lastPathComponent, directoryHint: .isDirectory)
        let file = bundle.appending(path: ManifestReader.fileName)
        let values = try? file.resourceValues(forKeys: [.contentModificationDateKey])
        let manifest = Result { try ManifestReader.read(file) }
        let problem: String? = if case .failure(let error) = manifest { "\(error)" } else { nil }
        return StoredBundle(
            folder: bundle, bytes: DiskSpace.used(by: bundle), added: values?.contentModificationDate ?? .distantPast,
            manifest: try? manifest.get(),
            problem: problem)
    }

    private func contents() -> [URL] {
        (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: [.isDirectoryKey])) ?? []
    }

    private func isFolder(_ item: URL) -> Bool {
        (try? item.resourceValues(forKeys: [.isDirectoryKey]))?.isDirectory == true
    }

    /// A folder name that is valid on every file system, made from an arbitrary name.
    static func safeName(_ fileName: String) -> String {
        var base = fileName
        for ending in [".zip", ".\(suffix)"] where base.hasSuffix(ending) { base.removeLast(ending.count) }
        let kept = base.map { $0.isLetter || $0.isNumber || "-_. ".contains($0) ? $0 : "_" }
        let trimmed = String(kept).trimmingCharacters(in: CharacterSet(charactersIn: " ."))
        let cut = String(trimmed.prefix(maxName)).trimmingCharacters(in: CharacterSet(charactersIn: " ."))
        return cut.isEmpty ? "bundle" : cut
    }
}
