import Foundation
import XCTest

@testable import MobileVLMCore

final class CaptureWriterTests: XCTestCase {
    private var folder: URL!
    private var capture: Capture!

    override func setUp() async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        let fixture = try await CheckFixture(in: folder.appending(path: "bundle"))
        let report = try await fixture.check().run()
        capture = try await report.capture(report.records[1], fixture.model, FakeMethods(), device: ["model": "a \"phone\"/你"])
    }

    override func tearDown() async throws {
        try FileManager.default.removeItem(at: folder)
    }

    private var file: URL { folder.appending(path: "capture.zip") }

    private func members() throws -> [(name: String, content: Data)] {
        let zip = try ZipArchive(file, name: "capture.zip")
        return try zip.entries.map { entry in
            var content = Data()
            try zip.read(entry) { content += $0 }
            return (entry.name, content)
        }
    }

    func testEveryMemberIsWritten() throws {
        try CaptureWriter.write(capture, to: file)
        let members = try members()
        XCTAssertEqual(members.map(\.name), ["capture.json", "pixels.png", "picture.png"])
        let values = try JSONSerialization.jsonObject(with: members[0].content) as! [String: Any]
        XCTAssertEqual(values["format_version"] as? Int, 1)
        XCTAssertEqual(values["manifest_id"] as? String, capture.manifestID)
        XCTAssertEqual(values["backend"] as? String, "coreml")
        XCTAssertEqual(values["device"] as? [String: String], ["model": "a \"phone\"/你"])
        let stats = values["stats"] as! [String: Any]
        XCTAssertEqual(
            Set(stats.keys),
            [
                "load_s", "image_encode_s", "prefill_s", "ttft_s", "generated_tokens", "decode_tok_s", "peak_rss_bytes",
                "thermal_before", "thermal_after",
            ])
        XCTAssertEqual(stats["decode_tok_s"] as? Double, 4)
        XCTAssertEqual(stats["thermal_after"] as? String, "fair")
        let record = try JSONSerialization.data(withJSONObject: values["record"]!)
        XCTAssertEqual(try JSONDecoder().decode(Record.self, from: record), capture.record)
        var square = SquarePixels(SessionFixture.manifest.image)
        let picture = try PNGTests.decoded(members[2].content)
        XCTAssertEqual(picture.pixels, capture.picture!.pixels.map { $0 & 0xFF_FFFF })
        XCTAssertEqual(square.pixels(of: picture), capture.pixels)
        XCTAssertEqual(square.pixels(of: try PNGTests.decoded(members[1].content)), capture.pixels)
    }

    func testThePictureMayBeLeftOut() throws {
        capture.picture = nil
        try CaptureWriter.write(capture, to: file)
        XCTAssertEqual(try members().map(\.name), ["capture.json", "pixels.png"])
        requireOnly(["bundle", "capture.zip"])
    }

    func testNothingIsOverwrittenAndNothingIncompleteIsLeft() async throws {
        try Data("mine".utf8).write(to: file)
        assertThrows("capture.zip", "already exists") { try CaptureWriter.write(capture, to: file) }
        XCTAssertEqual(try Data(contentsOf: file), Data("mine".utf8))
        try FileManager.default.removeItem(at: file)
        assertThrows("can't be written") { try CaptureWriter.write(capture, to: folder.appending(path: "no/capture.zip")) }
        // Nothing is found at a link to nothing, but it is in the way.
        try FileManager.default.createSymbolicLink(at: file, withDestinationURL: folder.appending(path: "nothing"))
        assertThrows("capture.zip", "can't be written") { try CaptureWriter.write(capture, to: file) }
        try FileManager.default.removeItem(at: file)
        let fixture = try await CheckFixture(in: folder.appending(path: "bundle"))
        let report = try await fixture.check().run()
        let broken = FakeMethods(logit: { $0 == 3 ? .infinity : 0 })
        let infinite = try await report.capture(report.records[0], fixture.model, broken, device: [:])
        assertThrows("isn't finite") { try CaptureWriter.write(infinite!, to: file) }
        var pixels = capture.pixels
        pixels[0] ^= 1
        let others = Capture(
            manifestID: "", record: capture.record, pixels: pixels, picture: nil, device: [:], stats: capture.stats)
        assertThrows("got pixels with SHA-256") { try CaptureWriter.write(others, to: file) }
        requireOnly(["bundle"])
    }

    private func requireOnly(_ names: [String], line: UInt = #line) {
        XCTAssertEqual(try? FileManager.default.contentsOfDirectory(atPath: folder.path).sorted(), names, line: line)
    }
}
