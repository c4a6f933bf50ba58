import Foundation
import MobileVLMCore
import Observation

/// A running import.
public struct Import: Sendable, Equatable {
    public let name: String
    /// Fraction unpacked and verified, 0 to 1; nil while the manifest is being located.
    public internal(set) var progress: Double?
}

/// The bundles on this phone, and the import of another.
@Observable @MainActor
public final class BundleLibrary {
    /// Whether `bundles` have been listed once.
    public private(set) var isReady = false
    /// Newest first.
    public private(set) var bundles = [StoredBundle]()
    public private(set) var importing: Import?
    /// Why the last import failed.
    public private(set) var problem: String?

    private let disk: BundleDisk
    private var work: Task<StoredBundle, any Error>?

    init(_ dependencies: Dependencies) {
        disk = BundleDisk(dependencies)
    }

    /// Deletes leftovers of an interrupted import, and lists the bundles.
    func start() async {
        await disk.recover()
        await refresh()
    }

    /// Lists the bundles again: one may have been copied by a computer.
    public func refresh() async {
        bundles = await disk.list()
        isReady = true
    }

    /// Imports the zipped bundle `file`. Returns nil if it fails (see `problem`), is cancelled, or another import is running.
    func add(_ file: URL) async -> StoredBundle? {
        guard work == nil else { return nil }
        importing = Import(name: file.lastPathComponent)
        problem = nil
        let (shares, continuation) = AsyncStream.makeStream(of: Double.self, bufferingPolicy: .bufferingNewest(1))
        let work = Task { [disk] in
            defer { continuation.finish() }
            return try await disk.add(file) { done, total in continuation.yield(Double(done) / Double(max(total, 1))) }
        }
        self.work = work
        for await share in shares { importing?.progress = share }
        let added = await work.result
        self.work = nil
        importing = nil
        await refresh()
        switch added {
        case .success(let bundle): return bundle
        case .failure(is CancellationError): return nil
        case .failure(let error as any MobileVLMError): problem = error.message
        case .failure: problem = "\(file.lastPathComponent): can't be read, expected a zipped bundle"
        }
        return nil
    }

    /// Cancels the running import and deletes its files.
    public func cancel() { work?.cancel() }

    /// Deletes `bundle` permanently.
    func remove(_ bundle: StoredBundle) async {
        await disk.remove(bundle)
        await refresh()
    }

    /// Clears the problem after the user has seen it.
    func dismiss() { problem = nil }
}

/// Runs file operations one at a time, off the main thread.
private actor BundleDisk {
    private let dependencies: Dependencies
    private let store: BundleStore

    init(_ dependencies: Dependencies) {
        self.dependencies = dependencies
        store = BundleStore(dependencies.bundles)
    }

    func recover() {
        store.recover()
        sweep()
    }

    func list() -> [StoredBundle] {
        let found = store.list()
        for bundle in found { dependencies.keepFromBackup(bundle.folder) }
        return found
    }

    func add(_ file: URL, progress: @Sendable (Int64, Int64) -> Void) throws -> StoredBundle {
        try Task.checkCancellation()
        var added: StoredBundle?
        try dependencies.openPickedFile(file) { added = try store.add($0, progress: progress) }
        return added!
    }

    func remove(_ bundle: StoredBundle) {
        store.remove(bundle)
        sweep()
    }

    private func sweep() { dependencies.sweep(Set(store.list().compactMap(\.manifest?.id))) }
}
