#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobileVLMCore

    /// Packages compiled for this phone, kept from one start to the next: `FOLDER/BUNDLE/SYSTEM/NAME.mlmodelc`.
    ///
    /// BUNDLE is a manifest's id, SYSTEM the system's version with its build: another system compiles anew. A model is compiled aside and
    /// renamed, so whatever is there is whole.
    public struct CompiledModels: Sendable {
        /// In the app's Caches, which the system may clear and no backup holds.
        public static let inCaches = CompiledModels(
            FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask)[0].appending(path: "compiled"))

        private static let making = ".making-"

        private let folder: URL
        private let system: String

        /// - Parameter system: what a compiled model is good for; by default the system's version
        public init(_ folder: URL, system: String = ProcessInfo.processInfo.operatingSystemVersionString) {
            self.folder = folder
            self.system = String(system.map { $0.isLetter || $0.isNumber ? $0 : "-" })
        }

        /// Removes what was compiled of the bundle `id`.
        public func remove(_ id: String) {
            try? FileManager.default.removeItem(at: folder.appending(path: id))
        }

        /// Removes what isn't of the bundles `ids`, or of another system, or was left half-made when the app was killed. Call it at start,
        /// and when a bundle was removed.
        public func sweep(keeping ids: Set<String>) {
            for bundle in contents(folder) {
                guard ids.contains(bundle.lastPathComponent) else {
                    try? FileManager.default.removeItem(at: bundle)
                    continue
                }
                for other in contents(bundle) where other.lastPathComponent != system {
                    try? FileManager.default.removeItem(at: other)
                }
            }
        }

        /// The compiled `package` of the bundle `id`, compiled now if it isn't there.
        ///
        /// - Throws: `EngineError` if Core ML can't compile it or it can't be kept.
        func model(of package: URL, in id: String) async throws -> URL {
            let files = FileManager.default
            let name = package.deletingPathExtension().lastPathComponent
            let place = folder.appending(path: id).appending(path: system)
            let model = place.appending(path: "\(name).mlmodelc", directoryHint: .isDirectory)
            if files.fileExists(atPath: model.path) { return model }
            let made = try await CoreMLError.describing("\(package.path): Core ML can't compile it") {
                try await MLModel.compileModel(at: package)
            }
            // Core ML leaves it where it likes; beside its place it is renamed at one go.
            let beside = folder.appending(path: Self.making + UUID().uuidString)
            defer {
                try? files.removeItem(at: beside)
                try? files.removeItem(at: made)
            }
            do {
                try files.createDirectory(at: place, withIntermediateDirectories: true)
                try files.moveItem(at: made, to: beside)
                try files.moveItem(at: beside, to: model)
            } catch {
                // Whoever else has compiled it meanwhile was as good.
                guard files.fileExists(atPath: model.path) else {
                    throw EngineError("\(model.path): can't be written, expected room for a compiled model")
                }
            }
            return model
        }

        private func contents(_ folder: URL) -> [URL] {
            (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        }
    }
#endif
