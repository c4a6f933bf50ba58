import XCTest

@testable import MobileVLMCore

final class ManifestTests: XCTestCase {
    private struct Case: Decodable {
        let file: String
        let error_names: String
    }

    func testGoodManifestsAreRead() throws {
        let good = Golden.folder.appending(path: "manifests/good")
        let files = try FileManager.default.contentsOfDirectory(at: good, includingPropertiesForKeys: nil)
        XCTAssertGreaterThanOrEqual(files.count, 3)
        for file in files {
            let manifest = try ManifestReader.read(file)
            XCTAssertEqual(manifest.id, SHA256Digest.hex(of: try Data(contentsOf: file)))
            let (side, tokens) = file.lastPathComponent == "llava.json" ? (154, 121) : (168, 36)
            XCTAssertEqual(manifest.image, ImageSpec(size: side, tokens: tokens, padColor: 0x7A7468))
            XCTAssertEqual(
                manifest.sizes, ModelSizes(vocabSize: 640, hiddenSize: 192, imageSize: side, imageTokens: tokens))
            XCTAssertEqual(manifest.prompt.stopIDs, [2])
            XCTAssertEqual(manifest.recipe["name"], "int4")
        }
    }

    func testTheManifestDescribesTheCoreMLPrograms() throws {
        let good = Golden.folder.appending(path: "manifests/good")
        let manifest = try ManifestReader.read(good.appending(path: "executorch-and-coreml.json"))
        let expected = CoreMLSpec(
            visionEncoder: "vision_encoder.mlpackage", textDecoder: "text_decoder.mlpackage",
            tokenEmbedding: "token_embedding.safetensors", tableForm: .int8, featuresType: .fp16, embedsType: .fp16,
            logitsType: .fp16, prefillChunk: 64, maxContext: 512, cachePositions: 576, computeUnits: .cpuAndGPU)
        XCTAssertEqual(manifest.coreML, expected)
        XCTAssertNil(try ManifestReader.read(good.appending(path: "demo.json")).coreML)
    }

    func testBadManifestsAreRefusedByName() throws {
        for (folder, least) in [("bad", 45), ("bad_coreml", 20)] {
            let cases: [Case] = try Golden.cases("manifests/\(folder).json")
            XCTAssertGreaterThanOrEqual(cases.count, least)
            for golden in cases {
                let file = Golden.folder.appending(path: "manifests/\(folder)/\(golden.file)")
                XCTAssertThrowsError(try ManifestReader.read(file), golden.file) { error in
                    XCTAssertTrue("\(error)".hasPrefix("\(file.path): "), "\(error)")
                    let says = "\(error)".dropFirst(file.path.count)  // the file's name may have the words too
                    for part in [golden.error_names, "got", "expected"] {
                        XCTAssertTrue(says.contains(part), "\(error), expected \(part)")
                    }
                    XCTAssertFalse(says.contains("\n"), "\(error)")
                }
            }
        }
    }

    /// Only ExecuTorch's program must be exported again, which this app doesn't use.
    func testOutdatedManifestsAreRead() throws {
        let cases: [Case] = try Golden.cases("manifests/outdated.json")
        XCTAssertGreaterThanOrEqual(cases.count, 2)
        for golden in cases {
            let manifest = try ManifestReader.read(Golden.folder.appending(path: "manifests/outdated/\(golden.file)"))
            let good = try ManifestReader.read(Golden.folder.appending(path: "manifests/good/\(golden.file)"))
            XCTAssertEqual(manifest.coreML, good.coreML)
        }
    }

    func testAManifestThatIsTooLargeIsNotRead() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(count: ManifestReader.maxBytes + 1).write(to: file)
        assertThrows("got 16777217 bytes", "expected at most 16777216") { try ManifestReader.read(file) }
    }

    func testAMissingManifestIsNamed() {
        assertThrows("/nowhere/manifest.json", "no such file") {
            try ManifestReader.read(URL(filePath: "/nowhere/manifest.json"))
        }
    }
}
