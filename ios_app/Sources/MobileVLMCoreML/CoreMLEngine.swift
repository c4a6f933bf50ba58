#if canImport(CoreML) && !(os(macOS) && arch(x86_64))  // Swift has no Float16 on Intel Macs
    import CoreML
    import Foundation
    import MobileVLMCore

    /// A bundle's Core ML programs with one KV cache. `docs/reference/coreml.md` describes how they are called.
    ///
    /// Core ML's calls take long and block, so the actor runs on its own queue and not on Swift's few shared threads.
    public actor CoreMLEngine: VLMEngine, ModelMethods {
        public nonisolated let chunk: Int

        private nonisolated let queue: CoreMLQueue
        private let spec: CoreMLSpec
        private let table: TokenTable
        private let encoder: VisionEncoder
        private let decoder: TextDecoder
        private let cache: MLState
        private var methodsCache: MLState?
        /// The image's embeddings, [1, image tokens, D].
        private var picture: MLMultiArray?

        private let cooldown: @Sendable (Duration) -> Duration
        private var cooledAt = ContinuousClock.now

        public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

        /// Opens the programs of the verified bundle in `folder`, and runs each once, so that the first question doesn't wait for Core
        /// ML's deferred work.
        ///
        /// The first time takes longer: the packages are compiled for this phone and kept in `compiled`.
        ///
        /// - Parameters:
        ///   - units: the hardware for the programs; nil for the manifest's choice
        ///   - foreground: compiles, loads and warms up only while it is open
        ///   - cooldown: how long to pause after a call, given how long the call took
        /// - Throws: `BundleError` if the bundle has no Core ML programs or its table is damaged; `EngineError` if Core ML can't compile,
        ///   load or run them; `CancellationError`.
        public static func open(
            _ folder: URL, _ manifest: Manifest, on units: CoreMLSpec.ComputeUnits? = nil,
            compiled: CompiledModels = .inApplicationSupport, foreground: ForegroundGate = ForegroundGate(),
            cooldown: @escaping @Sendable (Duration) -> Duration = Thermal.cooldownNow
        ) async throws -> CoreMLEngine {
            guard let spec = manifest.coreML else {
                throw BundleError("\(folder.path): got no program for coreml, expected one")
            }
            let table = try TokenTable(
                folder.appending(path: spec.tokenEmbedding), form: spec.tableForm, vocabSize: manifest.sizes.vocabSize,
                width: manifest.sizes.hiddenSize)
            let queue = CoreMLQueue()
            func model(_ package: String) async throws -> URL {
                try await foreground.guarding {
                    try await compiled.model(of: folder.appending(path: package), in: manifest.id)
                }
            }
            func engine(_ encoder: URL, _ decoder: URL) async throws -> CoreMLEngine {
                let made = try await foreground.guarding {
                    try Task.checkCancellation()
                    return try await queue.run {
                        try CoreMLEngine(
                            manifest, spec, table, encoder: encoder, decoder: decoder, units: units ?? spec.computeUnits, queue,
                            cooldown)
                    }
                }
                try await foreground.guarding { try await made.warmUpEncoder(manifest.image.size) }
                for count in [1, made.chunk] { try await foreground.guarding { try await made.warmUpDecoder(count) } }
                return made
            }
            let encoder = try await model(spec.visionEncoder), decoder = try await model(spec.textDecoder)
            do {
                return try await engine(encoder, decoder)
            } catch is EngineError {
                // A compiled model may be damaged; a fault of the bundle will occur again. The background is no reason: what it makes fail
                // is a cancellation.
                compiled.remove(manifest.id)
                return try await engine(try await model(spec.visionEncoder), try await model(spec.textDecoder))
            }
        }

        private init(
            _ manifest: Manifest, _ spec: CoreMLSpec, _ table: TokenTable, encoder: URL, decoder: URL,
            units: CoreMLSpec.ComputeUnits, _ queue: CoreMLQueue, _ cooldown: @escaping @Sendable (Duration) -> Duration
        ) throws {
            self.spec = spec
            self.table = table
            self.queue = queue
            self.cooldown = cooldown
            chunk = spec.prefillChunk
            self.encoder = try VisionEncoder(encoder, manifest, spec, units)
            self.decoder = try TextDecoder(decoder, manifest, spec, units)
            cache = self.decoder.makeCache()
        }

        private func warmUpEncoder(_ side: Int) throws {
            try Task.checkCancellation()
            _ = try encoder.run([UInt8](repeating: 0, count: 3 * side * side))
        }

        /// Its rows in the cache are overwritten before they are attended to, like those of older conversations.
        private func warmUpDecoder(_ count: Int) throws {
            try Task.checkCancellation()
            try decoder.run(count, at: 0, cache) { $0.zero() }
        }

        // MARK: - VLMEngine

        public func encodeImage(_ pixels: [UInt8]) async throws {
            methodsCache = nil
            picture = nil
            await cool()
            picture = try working { try encoder.run(pixels).embeddings }
        }

        public func prefill(_ rows: [PromptRow], at position: Int) async throws {
            methodsCache = nil
            await cool()
            _ = try working { try feed(rows, at: position) }
        }

        public func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
            methodsCache = nil
            await cool()
            return try working { try feed(rows, at: position).next(by: &sampler) }
        }

        private func feed(_ rows: [PromptRow], at position: Int) throws -> NumberRow {
            try decoder.run(rows.count, at: position, cache) { embeds in
                for (index, row) in rows.enumerated() {
                    switch row {
                    case .token(let token): try embeds.row(index).fill(token, from: table)
                    case .image(let token):
                        guard let picture else {
                            throw EngineError("engine: got an image row before any image was encoded")
                        }
                        let image = try NumberRows(picture, "image_embeddings", width: table.width)
                        try embeds.row(index).fill(from: image.row(token))
                    }
                }
            }
        }

        // MARK: - ModelMethods: with their own KV cache, which is freed when the conversation continues

        public func visionEncoder(_ pixels: [UInt8]) async throws -> [Float] {
            try working { try NumberRows(encoder.run(pixels).embeddings, "image_embeddings", width: table.width).floats() }
        }

        public func tokenEmbedding(_ ids: [Int32]) async throws -> [Float] {
            var rows = [Float](repeating: 0, count: ids.count * table.width)
            try rows.withUnsafeMutableBufferPointer { all in
                for (index, id) in ids.enumerated() {
                    try table.copy(id, into: .init(rebasing: all[(index * table.width)..<((index + 1) * table.width)]))
                }
            }
            return rows
        }

        public func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float] {
            guard embeds.count.isMultiple(of: table.width) else {
                throw EngineError("engine: got \(embeds.count) numbers, expected rows of \(table.width)")
            }
            guard let cache = position == 0 ? decoder.makeCache() : methodsCache else {
                throw EngineError("engine: got embeddings at position \(position), expected the ones before them first")
            }
            methodsCache = cache
            return try working {
                try decoder.run(embeds.count / table.width, at: position, cache) { rows in
                    for index in 0..<(embeds.count / table.width) {
                        try rows.row(index).fill(embeds[(index * table.width)..<((index + 1) * table.width)])
                    }
                }.floats()
            }
        }

        // MARK: - heat

        /// Waits until the phone may work again.
        private func cool() async {
            try? await Task.sleep(until: cooledAt, clock: .continuous)  // returns at once if the task is cancelled
        }

        private func working<Result>(_ work: () throws -> Result) rethrows -> Result {
            let began = ContinuousClock.now
            defer { cooledAt = .now + cooldown(.now - began) }
            return try work()
        }
    }
#endif
