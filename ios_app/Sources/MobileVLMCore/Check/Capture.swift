import Foundation

/// What this phone computed for one question, to be replayed on a desktop (`mvlm replay`).
public struct Capture: Sendable {
    public let manifestID: String
    public let record: Record
    /// The vision encoder's input, uint8 [3, S, S].
    public let pixels: [UInt8]
    /// The image they were made from; nil if it isn't shared.
    public var picture: Picture?
    /// Facts about the phone: model, system, …
    public let device: [String: String]
    public let stats: Measurements
}

/// Writes captures as zips: `capture.json`, `pixels.png` and optionally `picture.png` (`docs/reference/bundle-format.md`).
public enum CaptureWriter {
    private static let formatVersion = 1

    private struct Values: Encodable {
        let format_version: Int
        let manifest_id: String
        let backend: String
        let device: [String: String]
        let stats: Measurements
        let record: Record
    }

    /// Writes `file` completely or not at all.
    ///
    /// - Throws: `CaptureError` if it exists or can't be written, a number isn't finite, or the pixels don't match the record.
    public static func write(_ capture: Capture, to file: URL) throws(CaptureError) {
        if FileManager.default.fileExists(atPath: file.path) {
            throw CaptureError("\(file.path): already exists; choose another name")
        }
        let sha256 = SHA256Digest.hex(of: capture.pixels), expected = capture.record.pixelsSHA256
        guard sha256 == expected else {
            throw CaptureError(
                "\(file.path): got pixels with SHA-256 \(sha256.prefix(16))…, expected the record's \(expected.prefix(16))…")
        }
        let values = Values(
            format_version: formatVersion, manifest_id: capture.manifestID, backend: ModelLoader.backend,
            device: capture.device, stats: capture.stats, record: capture.record)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        var zip = ZipWriter()
        do {
            zip.add("capture.json", try encoder.encode(values))
        } catch {
            throw CaptureError("\(file.path): got a number that isn't finite, expected finite numbers")
        }
        zip.add("pixels.png", PNG.encode(square: capture.pixels))
        if let picture = capture.picture { zip.add("picture.png", PNG.encode(picture)) }
        let temporary = file.deletingLastPathComponent().appending(path: ".\(file.lastPathComponent).part")
        defer { try? FileManager.default.removeItem(at: temporary) }
        do {
            try zip.finished().write(to: temporary)
            try FileManager.default.moveItem(at: temporary, to: file)
        } catch {
            throw CaptureError("\(file.path): can't be written (\(error.localizedDescription)), expected a writable location")
        }
    }
}
