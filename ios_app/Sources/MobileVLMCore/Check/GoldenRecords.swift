import Foundation

/// A record in a bundle and the image it was made from, a PNG.
public struct GoldenRecord: Sendable {
    public let name: String
    public let picture: URL
    public let record: Record
}

/// The records in a bundle's folder `golden`.
public enum GoldenRecords {
    private static let folder = "golden"
    private static let index = "\(folder)/golden.json"

    private struct Index: Decodable {
        struct Entry: Decodable {
            let picture: String
            let record: Record

            enum CodingKeys: CodingKey { case picture }

            init(from decoder: any Decoder) throws {
                picture = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .picture)
                record = try Record(from: decoder)
            }
        }

        let records: [Entry]
    }

    /// The golden records of the bundle in `folder`.
    ///
    /// - Throws: `CaptureError` if there are none, or they can't be read.
    public static func read(_ bundle: URL, _ manifest: Manifest) throws(CaptureError) -> [GoldenRecord] {
        let listed = Set(manifest.files.map(\.path))
        guard listed.contains(index) else {
            throw CaptureError("\(bundle.lastPathComponent): got no golden records; create them with: mvlm golden BUNDLE")
        }
        let file = bundle.appending(path: index)
        let entries = try read(file).records
        if entries.isEmpty { throw CaptureError("\(file.path): records: got none, expected a list of records") }
        var records = [GoldenRecord]()
        for entry in entries {
            let path = "\(folder)/\(entry.picture)"
            guard listed.contains(path) else {
                throw CaptureError("\(file.path): picture: got '\(shown(entry.picture))', expected a listed file")
            }
            records.append(GoldenRecord(name: entry.picture, picture: bundle.appending(path: path), record: entry.record))
        }
        return records
    }

    private static func read(_ file: URL) throws(CaptureError) -> Index {
        guard let bytes = try? Data(contentsOf: file) else {
            throw CaptureError("\(file.path): can't be read, expected golden records")
        }
        do {
            return try JSONDecoder().decode(Index.self, from: bytes)
        } catch let error as DecodingError {
            throw CaptureError("\(file.path): \(ManifestReader.line(error, bytes))")
        } catch {
            throw CaptureError("\(file.path): got no JSON, expected golden records")
        }
    }
}
