import Foundation

/// A verified, loaded bundle.
public final class LoadedModel: @unchecked Sendable {
    public let folder: URL
    public let manifest: Manifest
    public let tokenizer: Tokenizer
    /// How well it fits the phone.
    public let memory: MemoryFit
    /// Seconds that the engine took to load the programs.
    public let loadSeconds: Double
    /// The most rows that the engine takes at once.
    public let chunk: Int

    private let lock = NSLock()
    private var loaded: (any VLMEngine)?

    init(
        folder: URL, manifest: Manifest, engine: any VLMEngine, tokenizer: Tokenizer, memory: MemoryFit = .fits,
        loadSeconds: Double = 0
    ) {
        self.folder = folder
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.memory = memory
        self.loadSeconds = loadSeconds
        chunk = engine.chunk
        loaded = engine
    }

    /// What runs the programs.
    ///
    /// - Throws: `EngineError` once it is released.
    public var engine: any VLMEngine {
        get throws {
            guard let engine = lock.withLock({ loaded }) else { throw EngineError("engine: already released") }
            return engine
        }
    }

    /// Whether the engine is freed; everything that doesn't need it still works.
    public var isReleased: Bool { lock.withLock { loaded == nil } }

    /// Frees the engine to make room for another one.
    public func release() {
        lock.withLock { loaded = nil }
    }
}

/// Loads bundles: verifies what has changed, checks memory, and loads the programs.
public struct ModelLoader: Sendable {
    /// Which of the manifest's artifacts the engine runs.
    public static let backend = "coreml"

    private let openEngine: @Sendable (URL, Manifest) async throws -> any VLMEngine
    private let availableMemory: @Sendable () -> Int64
    private let now: @Sendable () -> Duration

    /// - Parameters:
    ///   - availableMemory: bytes that the app may use
    ///   - now: a monotonic clock
    ///   - openEngine: loads the programs of the verified bundle in a folder
    public init(
        availableMemory: @escaping @Sendable () -> Int64,
        now: @escaping @Sendable () -> Duration = monotonicNow,
        openEngine: @escaping @Sendable (URL, Manifest) async throws -> any VLMEngine
    ) {
        self.availableMemory = availableMemory
        self.now = now
        self.openEngine = openEngine
    }

    /// Loads the bundle in `folder`, with too little memory only if `regardless`; `progress` receives the fraction verified, up to 1, if its files must be hashed.
    ///
    /// - Throws: `BundleError` if it is damaged or has no program for this app; `MemoryError`; `EngineError`; `CancellationError`.
    public func load(_ folder: URL, regardless: Bool = false, progress: @escaping @Sendable (Double) -> Void) async throws
        -> LoadedModel
    {
        let manifest = try BundleFiles.verifyChanged(folder) { done, total in progress(Double(done) / Double(max(total, 1))) }
        guard manifest.artifacts[Self.backend] != nil else {
            let found = manifest.artifacts.keys.sorted().joined(separator: ", ")
            throw BundleError("\(folder.path): got artifacts for \(found.isEmpty ? "nothing" : found), expected \(Self.backend)")
        }
        let available = availableMemory()
        let memory = MemoryCheck.fit(needed: manifest.memoryBytes, available: available)
        if memory == .tooLittle, !regardless {
            throw MemoryError(neededBytes: manifest.memoryBytes, availableBytes: available)
        }
        let tokenizer = try Tokenizer(folder.appending(path: manifest.tokenizerModel))
        try Task.checkCancellation()
        let began = now()
        let engine: any VLMEngine
        do {
            engine = try await openEngine(folder, manifest)
        } catch let error as EngineError {
            VerifiedStamp.delete(in: folder)  // the next try looks for damage
            throw error
        }
        return LoadedModel(
            folder: folder, manifest: manifest, engine: engine, tokenizer: tokenizer, memory: memory == .fits ? .fits : .tight,
            loadSeconds: (now() - began).inSeconds)
    }
}
