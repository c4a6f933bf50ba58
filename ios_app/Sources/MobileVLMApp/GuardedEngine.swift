import Foundation
import MobileVLMCore

/// An engine whose loading and running is noted by the crash guard.
struct GuardedEngine: Parts.Engine {
    let engine: any Parts.Engine
    let crashGuard: CrashGuard

    static func open(_ parts: Parts, _ folder: URL, _ manifest: Manifest) async throws -> any VLMEngine {
        let units = parts.settings.load().computeUnits
        let engine = try await parts.crashGuard.guarding { try await parts.openEngine(folder, manifest, units) }
        return GuardedEngine(engine: engine, crashGuard: parts.crashGuard)
    }

    var chunk: Int { engine.chunk }

    func look(_ pixels: [UInt8]) async throws {
        try await crashGuard.guarding { try await engine.look(pixels) }
    }

    func prefill(_ rows: [PromptRow], at position: Int) async throws {
        try await crashGuard.guarding { try await engine.prefill(rows, at: position) }
    }

    func next(_ rows: [PromptRow], at position: Int, by sampler: inout Sampler) async throws -> Int32 {
        try await crashGuard.guarding { try await engine.next(rows, at: position, by: &sampler) }
    }

    func visionEncoder(_ pixels: [UInt8]) async throws -> [Float] {
        try await crashGuard.guarding { try await engine.visionEncoder(pixels) }
    }

    func tokenEmbedding(_ ids: [Int32]) async throws -> [Float] {
        try await crashGuard.guarding { try await engine.tokenEmbedding(ids) }
    }

    func textDecoder(_ embeds: [Float], at position: Int) async throws -> [Float] {
        try await crashGuard.guarding { try await engine.textDecoder(embeds, at: position) }
    }
}
