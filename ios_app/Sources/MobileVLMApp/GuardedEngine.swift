import Foundation
import MobileVLMCore

/// An engine that runs in the foreground only, and whose loading and running is tracked by the crash guard.
struct GuardedEngine: Dependencies.Engine {
    let engine: any Dependencies.Engine
    let crashGuard: CrashGuard
    let foreground: ForegroundGate

    static func open(
        _ dependencies: Dependencies, _ foreground: ForegroundGate, _ folder: URL, _ manifest: Manifest
    ) async throws -> any VLMEngine {
        let units = dependencies.settings.load().computeUnits
        let engine = try await dependencies.crashGuard.guarding {
            try await dependencies.openEngine(folder, manifest, units, foreground)
        }
        return GuardedEngine(engine: engine, crashGuard: dependencies.crashGuard, foreground: foreground)
    }

    private func guarding<Result>(_ work: () async throws -> Result) async throws -> Result {
        try await foreground.guarding { try await crashGuard.guarding(work) }
    }

    var chunk: Int { engine.chunk }

    func encodeImage(_ pixels: [UInt8]) async throws {
        try await guarding { try await engine.encodeImage(pixels) }
    }

    func prefill(_ rows: [PromptRow], at position: Int) async throws {
        try await guarding { try await engine.prefill(rows, at: position) }
    }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
        try await guarding { try await engine.next(rows, at: position, by: &sampler) }
    }

    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float] {
        try await guarding { try await engine.visionEncoder(pixels) }
    }

    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float] {
        try await guarding { try await engine.tokenEmbedding(ids) }
    }

    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float] {
        try await guarding { try await engine.textDecoder(embeds, at: position) }
    }
}
