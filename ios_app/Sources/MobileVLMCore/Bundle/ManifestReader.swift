import Foundation

/// Parses `manifest.json` as specified in `docs/reference/bundle-format.md`; `tests/golden/manifests` holds valid and invalid ones.
public enum ManifestReader {
    public static let fileName = "manifest.json"
    /// The newest supported format. Format 1 differs only in ExecuTorch's program.
    public static let formatVersion = 2

    /// The resize that `SquarePixels` computes.
    static let resample = "pillow-bicubic-8bit"
    /// LLaMA's end-of-text token.
    private static let stopText = "</s>"
    static let maxBytes = 1 << 24
    private static let largestSide = 4096
    private static let longestPath = 200
    /// In bytes. The sum over all files that a manifest of `maxBytes` can list doesn't overflow.
    private static let largestFile: Int64 = 1 << 40

    /// Reads the manifest in `file`.
    ///
    /// - Throws: `BundleError` if it is missing, malformed, of a newer format, names a path outside the bundle, or names a file without
    ///   its hash.
    public static func read(_ file: URL) throws -> Manifest {
        let size = (try? file.resourceValues(forKeys: [.fileSizeKey]))?.fileSize
        if let size, size > maxBytes { throw BundleError("\(file.path): got \(size) bytes, expected at most \(maxBytes)") }
        guard let bytes = try? Data(contentsOf: file) else {
            throw BundleError("\(file.path): no such file, expected a bundle's manifest")
        }
        return try read(bytes, name: file.path)
    }

    /// Like `read`, from `bytes`; errors refer to them as `name`.
    public static func read(_ bytes: Data, name: String) throws -> Manifest {
        try requireKnownFormat(bytes, name: name)
        let file: ManifestFile = try decoded(bytes, name: name)
        let coreML = (try decoded(bytes, name: name) as CoreMLFile).artifacts.coreml
        let maxContext = try positive(file.context.max_context, "context.max_context", name: name)
        let manifest = Manifest(
            id: SHA256Digest.hex(of: bytes),
            kitVersion: file.kit_version,
            sourceName: file.source.name ?? "",
            sourceSHA256: file.source.sha256,
            sizes: try file.model.checked(name: name),
            image: try file.image.checked(name: name),
            prompt: try checked(file.prompt, name: name),
            tokenizerModel: file.tokenizer.model,
            artifacts: file.artifacts.mapValues(\.file),
            coreML: try coreML?.checked(maxContext: maxContext, name: name),
            recipe: file.quantization.recipe.mapValues(\.spelled),
            maxContext: maxContext,
            memoryBytes: file.memory.bytes,
            files: try file.files.map { try checked($0, name: name) }
        )
        _ = try positive(file.context.max_prefill, "context.max_prefill", name: name)
        try requireFit(file, manifest, name: name)
        try requireListed(manifest, tokenizerJSON: file.tokenizer.json, coreML, name: name)
        return manifest
    }

    /// Throws `BundleError` if `path` could lead out of the bundle's folder on any system; errors refer to its file as `name`.
    static func requireInside(_ path: String, name: String) throws(BundleError) {
        let parts = path.utf8.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }
        let isOutside =
            parts.isEmpty || path.utf8.first == UInt8(ascii: "/") || parts.contains { $0.elementsEqual("..".utf8) }
            || path.utf8.contains { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: ":") || $0 == 0 }
        if isOutside { throw BundleError("\(name): got the path '\(shown(path))', expected one inside the bundle") }
    }

    /// Throws unless `path` is a path in the bundle that means the same on every system and in every shell.
    private static func requirePlain(_ path: String, name: String) throws(BundleError) {
        let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-".utf8
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isPlain =
            path.utf8.count <= longestPath
            && parts.allSatisfy { part in
                part.allSatisfy(letters.contains) && part.contains { $0 != UInt8(ascii: ".") }
            }
        if !isPlain {
            throw BundleError(
                "\(name): files: got the path '\(shown(path))', expected one inside the bundle of letters, digits, '.', '_' and '-'"
            )
        }
    }

    private struct Version: Decodable {
        let format_version: Int
    }

    private static func requireKnownFormat(_ bytes: Data, name: String) throws(BundleError) {
        let version = (try decoded(bytes, name: name) as Version).format_version
        if version < 1 { throw BundleError("\(name): format_version: got \(version), expected \(formatVersion)") }
        if version > formatVersion {
            throw BundleError("\(name): got format version \(version), expected at most \(formatVersion): update the app")
        }
    }

    private static func decoded<Value: Decodable>(_ bytes: Data, name: String) throws(BundleError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: bytes)
        } catch let error as DecodingError {
            throw BundleError("\(name): \(line(error, bytes))")
        } catch {
            throw BundleError("\(name): got no JSON, expected a JSON object")
        }
    }

    static func line(_ error: DecodingError, _ bytes: Data) -> String {
        let whole = try? JSONDecoder().decode(JSONValue.self, from: bytes)
        guard let whole else { return "got no JSON, expected a JSON object" }
        guard case .object = whole else { return "format_version: got \(whole), expected a JSON object with it" }
        let (path, expected): ([any CodingKey], String) =
            switch error {
            case .keyNotFound(let key, let context): (context.codingPath + [key], "a value")
            case .typeMismatch(let type, let context): (context.codingPath, kindName(type))
            case .valueNotFound(let type, let context): (context.codingPath, kindName(type))
            case .dataCorrupted(let context): (context.codingPath, "a whole number")
            @unknown default: ([], "a manifest")
            }
        let field = path.map(\.stringValue).joined(separator: ".")
        return "\(field): got \(whole.value(at: path)?.description ?? "nothing"), expected \(expected)"
    }

    private static func kindName(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "a text"
        case is any BinaryInteger.Type: "a whole number"
        case is Bool.Type: "true or false"
        default: "\(type)".contains("Array") ? "a list" : "an object"
        }
    }

    private static func positive(_ number: Int, _ field: String, name: String) throws(BundleError) -> Int {
        guard (1...Int(Int32.max)).contains(number) else {
            throw BundleError("\(name): \(field): got \(number), expected a positive number")
        }
        return number
    }

    private static func checked(_ prompt: PromptSpec, name: String) throws(BundleError) -> PromptSpec {
        if prompt.stopIDs.isEmpty { throw BundleError("\(name): prompt.stop_ids: got an empty list, expected ids") }
        for (field, text) in [("after_image", prompt.afterImage), ("follow_up", prompt.followUp)]
        where !text.contains(Prompt.question) {
            throw BundleError("\(name): prompt.\(field): got '\(shown(text))', expected a text with \(Prompt.question)")
        }
        return prompt
    }

    /// Checks that the manifest's image and prompt settings match the model config, since a mismatch would give wrong answers.
    private static func requireFit(_ file: ManifestFile, _ manifest: Manifest, name: String) throws(BundleError) {
        func require<Value: Equatable>(_ field: String, _ got: Value, _ expected: Value) throws(BundleError) {
            if got != expected {
                throw BundleError("\(name): \(field): got \(shown("\(got)")), expected \(expected), as in the model's config")
            }
        }
        let image = file.image, tower = file.model.vision_config
        try require("image.size", image.size, manifest.sizes.imageSize)
        try require("image.tokens", image.tokens, manifest.sizes.imageTokens)
        try require("image.mean", image.mean, tower.image_mean ?? [])
        try require("image.std", image.std, tower.image_std ?? [])
        try require("image.pad_color", image.pad_color, image.mean.map { ($0 * 255).rounded(.towardZero) })
        try require("prompt.bos_id", manifest.prompt.bosID, Int32(file.model.bos_token_id ?? 1))
        try require("prompt.stop_ids", manifest.prompt.stopIDs, [Int32(file.model.eos_token_id ?? 2)])
        try require("prompt.stop_text", manifest.prompt.stopText, stopText)
    }

    private static func checked(_ entry: FileEntry, name: String) throws(BundleError) -> FileEntry {
        try requirePlain(entry.path, name: name)
        let isHash = entry.sha256.utf8.count == 64 && entry.sha256.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        if !(0...largestFile).contains(entry.bytes) || !isHash {
            throw BundleError(
                "\(name): files: got \(shown(entry.path)) with \(entry.bytes) bytes, expected a size and 64 hexadecimal digits")
        }
        return entry
    }

    /// Checks that every file a reader opens is listed with a hash, exactly once.
    private static func requireListed(
        _ manifest: Manifest, tokenizerJSON: String, _ coreML: CoreMLArtifact?, name: String
    ) throws(BundleError) {
        var listed = Set<[UInt8]>(), places = Set<String>()
        for entry in manifest.files {
            listed.insert(Array(entry.path.utf8))
            // A disk may not distinguish upper and lower case.
            guard places.insert(entry.path.lowercased()).inserted else {
                throw BundleError("\(name): files: got \(shown(entry.path)) twice, expected it once")
            }
        }
        var named = [("tokenizer.model", manifest.tokenizerModel), ("tokenizer.json", tokenizerJSON)]
        named += manifest.artifacts.sorted { $0.key < $1.key }.map { ("artifacts.\($0.key)", $0.value) }
        named += coreML?.named ?? []
        for (field, path) in named where !listed.contains(Array(path.utf8)) {
            throw BundleError("\(name): \(field): got '\(shown(path))', expected a path listed in files")
        }
    }

    /// Core ML's part of the file, decoded separately because other backends have other types.
    private struct CoreMLFile: Decodable {
        struct Artifacts: Decodable {
            let coreml: CoreMLArtifact?
        }

        let artifacts: Artifacts
    }

    /// The file as decoded.
    private struct ManifestFile: Decodable {
        struct Source: Decodable {
            let name: String?
            let sha256: String
        }

        struct Image: Decodable {
            let size: Int
            let tokens: Int
            let mean: [Double]
            let std: [Double]
            let pad_color: [Double]
            let resample: String

            func checked(name: String) throws(BundleError) -> ImageSpec {
                guard (1...ManifestReader.largestSide).contains(size) else {
                    throw BundleError("\(name): image.size: got \(size), expected 1 to \(ManifestReader.largestSide)")
                }
                guard pad_color.count == 3, pad_color.allSatisfy({ (0...255).contains($0) && $0 == $0.rounded() }) else {
                    throw BundleError("\(name): image.pad_color: got \(pad_color), expected three numbers from 0 to 255")
                }
                guard resample == ManifestReader.resample else {
                    throw BundleError(
                        "\(name): image.resample: got '\(shown(resample))', expected '\(ManifestReader.resample)': update the app"
                    )
                }
                let color = pad_color.reduce(0) { $0 << 8 | UInt32($1) }
                return ImageSpec(size: size, tokens: try positive(tokens, "image.tokens", name: name), padColor: color)
            }
        }

        struct TokenizerFiles: Decodable {
            let model: String
            let json: String
        }

        struct Quantization: Decodable {
            let recipe: [String: Scheme]
        }

        /// Text or any other value, only for display.
        struct Scheme: Decodable {
            let spelled: String

            init(from decoder: Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let text = try? container.decode(String.self) {
                    spelled = text
                } else {
                    spelled = (try? container.decode(JSONValue.self).description) ?? ""
                }
            }
        }

        struct Artifact: Decodable {
            let file: String
        }

        struct Context: Decodable {
            let max_context: Int
            let max_prefill: Int
        }

        struct Memory: Decodable {
            let bytes: Int64
        }

        let kit_version: String
        let source: Source
        let model: ModelConfig
        let image: Image
        let prompt: PromptSpec
        let tokenizer: TokenizerFiles
        let quantization: Quantization
        let artifacts: [String: Artifact]
        let context: Context
        let memory: Memory
        let files: [FileEntry]
    }
}
