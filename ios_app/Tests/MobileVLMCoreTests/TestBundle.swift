import CZlib
import Foundation

@testable import MobileVLMCore

/// A small bundle with a program of a few bytes, zipped here.
struct TestBundle {
    /// Golden `demo.json` except for its files and their hashes.
    var manifest: [String: Any]
    var entries: [(name: String, content: Data)]

    init(kitVersion: String = "0.1.0", largest: Int = 300_000) throws {
        let good = try Data(contentsOf: Golden.folder.appending(path: "manifests/good/demo.json"))
        manifest = try JSONSerialization.jsonObject(with: good) as! [String: Any]
        manifest["kit_version"] = kitVersion
        let both = try Data(contentsOf: Golden.folder.appending(path: "manifests/good/executorch-and-coreml.json"))
        var artifacts = (try JSONSerialization.jsonObject(with: both) as! [String: Any])["artifacts"] as! [String: Any]
        artifacts["executorch"] = nil
        manifest["artifacts"] = artifacts
        entries = [
            ("text_decoder.mlpackage/Manifest.json", Data("program".utf8)),
            ("vision_encoder.mlpackage/Manifest.json", Data("program".utf8)),
            ("token_embedding.safetensors", Data("table".utf8)),
            ("tokenizer.model", try Data(contentsOf: PromptTests.demoTokenizer)),
            ("tokenizer.json", Data("{}".utf8)),
            ("golden/large.bin", Data((0..<largest).map { UInt8(truncatingIfNeeded: $0 / 7) })),
        ]
        manifest["files"] = entries.map {
            ["path": $0.name, "bytes": $0.content.count, "sha256": SHA256Digest.hex(of: $0.content)]
        }
    }

    var manifestBytes: Data { try! JSONSerialization.data(withJSONObject: manifest, options: [.sortedKeys]) }

    /// The zip's bytes: the manifest first.
    func zipped(deflated: Bool = true) -> Data {
        Self.zip([(ManifestReader.fileName, manifestBytes)] + entries, deflated: deflated)
    }

    static func zip(_ entries: [(name: String, content: Data)], deflated: Bool = true, mode: UInt32 = 0o100644) -> Data {
        var out = Data(), directory = Data()
        for (name, content) in entries {
            let packed = deflated ? raw(content) : content
            let sizes = little(packed.count, 4) + little(content.count, 4) + little(name.utf8.count, 2) + little(0, 2)
            let middle = little(0, 2) + little(deflated ? 8 : 0, 2) + little(0, 4) + little(0, 4) + sizes
            directory += little(0x0201_4b50, 4) + little(0x031E, 2) + little(20, 2) + middle
            directory +=
                little(0, 2) + little(0, 2) + little(0, 2) + little(Int(mode) << 16, 4) + little(out.count, 4) + Data(name.utf8)
            out += little(0x0403_4b50, 4) + little(20, 2) + middle + Data(name.utf8) + packed
        }
        let end = little(0, 4) + little(entries.count, 2) + little(entries.count, 2) + little(directory.count, 4)
        return out + directory + little(0x0605_4b50, 4) + end + little(out.count, 4) + little(0, 2)
    }

    static func little(_ value: Int, _ bytes: Int) -> Data {
        Data((0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }

    /// Raw deflate: zlib's format without its header and checksum.
    static func raw(_ content: Data) -> Data {
        var room = [UInt8](repeating: 0, count: Int(compressBound(UInt(content.count))))
        var count = UInt(room.count)
        compress2(&room, &count, [UInt8](content), UInt(content.count), 6)
        return Data(room[2..<(Int(count) - 4)])
    }
}
