#if canImport(CoreML)
    import CoreML
    import Foundation
    import MobileVLMCore

    /// Packages compiled for this phone, kept between starts: `FOLDER/BUNDLE/SYSTEM/NAME.mlmodelc`.
    ///
    /// BUNDLE is a manifest's id, SYSTEM the system's version and build: a new system compiles again. A model is compiled elsewhere and
    /// renamed, so that every model found is complete.
    public struct CompiledModels: Sendable {
        /// In Application Support: the system clears Caches when it likes, and compiling takes long. Backups exclude it.
        public static let inApplicationSupport = CompiledModels(
            FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask)[0].appending(path: "compiled"))

        private static let making = ".making-"

        private let folder: URL
        private let system: String
        private let freeBytes: @Sendable (URL) -> Int64?

        /// - Parameters:
        ///   - system: the system for which models are compiled; by default the current version
        ///   - freeBytes: room on the disk of a folder, if known
        public init(
            _ folder: URL, system: String = ProcessInfo.processInfo.operatingSystemVersionString,
            freeBytes: @escaping @Sendable (URL) -> Int64? = DiskSpace.free
        ) {
            self.folder = folder
            self.freeBytes = freeBytes
            self.system = String(system.map { $0.isLetter || $0.isNumber ? $0 : "-" })
        }

        /// Deletes the compiled models of the bundle `id`.
        public func remove(_ id: String) {
            try? FileManager.default.removeItem(at: folder.appending(path: id))
        }

        /// Deletes models of other bundles than `ids` or other systems, and incomplete ones. Call it at start,
        /// and after a bundle was deleted.
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

        /// The compiled `package` of the bundle `id`, compiled now if it is missing.
        ///
        /// - Throws: `EngineError` if Core ML can't compile it, or there is no room for it: it is as large as the package.
        func model(of package: URL, in id: String) async throws -> URL {
            let files = FileManager.default
            let name = package.deletingPathExtension().lastPathComponent
            let place = folder.appending(path: id).appending(path: system)
            let model = place.appending(path: "\(name).mlmodelc", directoryHint: .isDirectory)
            if files.fileExists(atPath: model.path) { return model }
            try requireRoom(for: package)
            let made = try await CoreMLError.describing("\(package.path): Core ML can't compile it") {
                try await MLModel.compileModel(at: package)
            }
            // Core ML chooses the output folder; moving it next to its final place first makes the rename atomic.
            let temporary = folder.appending(path: Self.making + UUID().uuidString)
            defer {
                try? files.removeItem(at: temporary)
                try? files.removeItem(at: made)
            }
            do {
                try files.createDirectory(at: place, withIntermediateDirectories: true)
                keepFromBackup()
                try files.moveItem(at: made, to: temporary)
                try files.moveItem(at: temporary, to: model)
            } catch {
                // Another task may have compiled it meanwhile; its result is as good.
                guard files.fileExists(atPath: model.path) else {
                    throw EngineError("\(model.path): can't be written, expected room for a compiled model")
                }
            }
            return model
        }

        private func requireRoom(for package: URL) throws {
            let needed = DiskSpace.used(by: package) + DiskSpace.reserve
            guard let room = freeBytes(package), room < needed else { return }
            throw EngineError(
                "\(package.path): got \(room >> 20) MB free, expected \(needed >> 20) MB to compile it for this phone")
        }

        private func keepFromBackup() {
            #if canImport(Darwin)
                var folder = folder
                var values = URLResourceValues()
                values.isExcludedFromBackup = true
                try? folder.setResourceValues(values)
            #endif
        }

        private func contents(_ folder: URL) -> [URL] {
            (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
        }
    }
#endif
