import Foundation

/// A bundle that is verified and loaded.
public struct LoadedModel: Sendable {
    public let folder: URL
    public let manifest: Manifest
    public let engine: any VLMEngine
    public let tokenizer: Tokenizer
}

/// Loads bundles: every file checked, the memory counted, the programs loaded.
public struct ModelLoader: Sendable {
    /// Which of the manifest's artifacts the engine runs.
    public static let backend = "coreml"

    private let openEngine: @Sendable (URL, Manifest) async throws -> any VLMEngine
    private let availableMemory: @Sendable () -> Int64

    /// - Parameters:
    ///   - availableMemory: bytes that the app may take
    ///   - openEngine: loads the programs of the verified bundle in a folder
    public init(
        availableMemory: @escaping @Sendable () -> Int64,
        openEngine: @escaping @Sendable (URL, Manifest) async throws -> any VLMEngine
    ) {
        self.availableMemory = availableMemory
        self.openEngine = openEngine
    }

    /// Loads the bundle in `folder`; `progress` is given the share of it that is verified.
    ///
    /// - Throws: `BundleError` if it is damaged or has no program for this app; `MemoryError`; `EngineError`; `CancellationError`.
    public func load(_ folder: URL, progress: @escaping @Sendable (Double) -> Void) async throws -> LoadedModel {
        let manifest = try BundleFiles.verify(folder) { done, total in progress(Double(done) / Double(max(total, 1))) }
        guard manifest.artifacts[Self.backend] != nil else {
            let found = manifest.artifacts.keys.sorted().joined(separator: ", ")
            throw BundleError("\(folder.path): got artifacts for \(found.isEmpty ? "nothing" : found), expected \(Self.backend)")
        }
        let available = availableMemory()
        if available < manifest.memoryBytes {
            throw MemoryError(neededBytes: manifest.memoryBytes, availableBytes: available)
        }
        let tokenizer = try Tokenizer(folder.appending(path: manifest.tokenizerModel))
        try Task.checkCancellation()
        return LoadedModel(
            folder: folder, manifest: manifest, engine: try await openEngine(folder, manifest), tokenizer: tokenizer)
    }
}
