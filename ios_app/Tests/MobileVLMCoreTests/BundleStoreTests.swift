import Foundation
import XCTest

@testable import MobileVLMCore

final class BundleStoreTests: XCTestCase {
    private var folder: URL!
    private var store: BundleStore!

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        store = BundleStore(folder.appending(path: "bundles"))
    }

    override func tearDownWithError() throws {
        try FileManager.default.removeItem(at: folder)
    }

    func testAddsWhatTheManifestLists() throws {
        for deflated in [true, false] {
            var bundle = try TestBundle()
            bundle.entries.append(("more/than/listed.txt", Data("?".utf8)))
            var reported = [Int64]()
            let stored = try add(bundle.zipped(deflated: deflated)) { done, total in
                reported.append(done)
                XCTAssertLessThanOrEqual(done, total)
            }
            XCTAssertEqual(reported.last, stored.manifest?.totalBytes)
            XCTAssertEqual(stored.name, "demo")
            XCTAssertEqual(stored.recipe, "int4")
            XCTAssertEqual(try BundleFiles.verify(stored.folder), stored.manifest)
            XCTAssertFalse(exists("bundles/demo.mvlm/more"))
            XCTAssertEqual(store.list(), [stored])
            requireNothingLeft()
        }
    }

    func testZip64IsRead() throws {
        // As written by Python's zipfile where a size or an offset may exceed 4 GB: 0xFFFFFFFF, and the number in an extra field.
        let content = Data("program".utf8), name = "a"
        let extra = TestBundle.little(1, 2) + TestBundle.little(24, 2) + long(7) + long(7) + long(0)
        var zip =
            TestBundle.little(0x0403_4b50, 4) + TestBundle.little(45, 2) + Data(count: 20) + TestBundle.little(1, 2)
            + Data(count: 2)
        zip += Data(name.utf8) + content
        let at = zip.count
        var directory = TestBundle.little(0x0201_4b50, 4) + TestBundle.little(45, 2) + TestBundle.little(45, 2) + Data(count: 12)
        directory +=
            Data(repeating: 0xFF, count: 8) + TestBundle.little(1, 2) + TestBundle.little(extra.count, 2) + Data(count: 10)
        directory += Data(repeating: 0xFF, count: 4) + Data(name.utf8) + extra
        zip += directory
        let record =
            TestBundle.little(0x0606_4b50, 4) + long(44) + Data(count: 12) + long(1) + long(1) + long(directory.count) + long(at)
        let recordAt = zip.count
        zip += record + TestBundle.little(0x0706_4b50, 4) + Data(count: 4) + long(recordAt) + TestBundle.little(1, 4)
        zip += TestBundle.little(0x0605_4b50, 4) + Data(count: 4) + Data(repeating: 0xFF, count: 12) + Data(count: 2)
        let file = folder.appending(path: "large.zip")
        try zip.write(to: file)
        let archive = try ZipArchive(file, name: "large.zip")
        var got = Data()
        try archive.read(archive.entries[0]) { got.append(contentsOf: $0) }
        XCTAssertEqual(got, content)
    }

    func testPathsThatEscapeAreRefused() throws {
        for path in ["../out.txt", "/out.txt", "golden/../../out.txt", "..\\out.txt", "C:out.txt"] {
            let evil = [(path, Data("evil".utf8))]
            let bundle = try TestBundle()
            refused(
                TestBundle.zip([(ManifestReader.fileName, bundle.manifestBytes)] + bundle.entries + evil), "inside the bundle")
        }
        XCTAssertFalse(exists("out.txt"))
    }

    func testALinkInTheArchiveIsNeverMade() throws {
        let bundle = try TestBundle()
        let link = bundle.entries.map { $0.name == "golden/large.bin" ? ($0.name, Data("/etc/passwd".utf8)) : $0 }
        refused(
            TestBundle.zip([(ManifestReader.fileName, bundle.manifestBytes)] + link, mode: 0o120777),
            "got 11 bytes, expected 300000")
    }

    func testDamagedArchivesAreRefused() throws {
        let bundle = try TestBundle(), good = bundle.zipped()
        refused(Data(), "damaged archive")
        refused(Data("hello".utf8), "no end of a zip archive")
        refused(good.dropLast(30), "damaged archive")
        refused(TestBundle.zip(bundle.entries), "manifest.json is missing")
        refused(TestBundle.zip([(ManifestReader.fileName, bundle.manifestBytes)]), "is missing from the archive")
        let twice = [(ManifestReader.fileName, bundle.manifestBytes), (ManifestReader.fileName, bundle.manifestBytes)]
        refused(TestBundle.zip(twice), "twice, expected it once")
        let changed = bundle.entries.map { ($0.name, $0.name == "tokenizer.json" ? Data("[]".utf8) : $0.content) }
        refused(TestBundle.zip([(ManifestReader.fileName, bundle.manifestBytes)] + changed), "the file is damaged")
        let entry = try XCTUnwrap(good.range(of: TestBundle.little(0x0201_4b50, 4))).lowerBound
        for (field, value) in [(8, UInt8(1)), (10, 12)] {  // encrypted; bzip2
            var unusual = good
            unusual[entry + field] = value
            refused(unusual, "encrypted or unusual compression")
        }
        var newer = bundle
        newer.manifest["format_version"] = 3
        refused(newer.zipped(), "update the app")
    }

    func testABombIsRefusedBeforeItFillsTheDisk() throws {
        var bundle = try TestBundle()
        bundle.manifest["files"] = [
            ["path": "golden/large.bin", "bytes": Int64(1) << 40, "sha256": String(repeating: "0", count: 64)]
        ]
        bundle.manifest["tokenizer"] = ["model": "golden/large.bin", "json": "golden/large.bin"]
        bundle.manifest["artifacts"] = ["executorch": ["file": "golden/large.bin"]]
        refused(bundle.zipped(), "MB free")
        // Content beyond the size that its header states:
        var lying = try TestBundle().zipped()
        let size = TestBundle.little(300_000, 4)
        while let at = lying.range(of: size) { lying.replaceSubrange(at, with: TestBundle.little(299_999, 4)) }
        refused(lying, "expected 300000")
    }

    func testEveryFlippedByteIsRefusedOrHarmless() throws {
        let good = try TestBundle().zipped()
        for at in stride(from: 0, to: good.count, by: max(good.count / 60, 1)) {
            var flipped = good
            flipped[at] ^= 0x55
            if let stored = try? add(flipped) {
                XCTAssertNoThrow(try BundleFiles.verify(stored.folder), "byte \(at)")
                store.remove(stored)
            }
            requireNothingLeft()
        }
    }

    func testBeingKilledHalfWayIsRecovered() throws {
        let half = folder.appending(path: "bundles/.import-1234/golden")
        try FileManager.default.createDirectory(at: half, withIntermediateDirectories: true)
        XCTAssertEqual(store.list(), [])
        store.recover()
        requireNothingLeft()
    }

    /// The app may be killed at any change on disk: either the old or the new bundle exists, and nothing else.
    func testABundleThatIsImportedAgainIsNeverLost() throws {
        let zip = try TestBundle(largest: 1000).zipped()
        _ = try add(zip)
        let bundles = folder.appending(path: "bundles"), killed = folder.appending(path: "killed"), changes = Log()
        try FileManager.default.createDirectory(at: killed, withIntermediateDirectories: true)
        store = BundleStore(bundles) {
            let copy = killed.appending(path: "\(changes.addAndCount("change"))")
            if (try? FileManager.default.copyItem(at: bundles, to: copy)) == nil { changes.add("failed") }
        }
        let stored = try add(zip)
        store.remove(stored)
        XCTAssertGreaterThanOrEqual(changes.all.count, 7)
        XCTAssertEqual(changes.count("failed"), 0)
        var whole = [Bool]()
        for number in 1...changes.all.count {
            let left = BundleStore(killed.appending(path: "\(number)"))
            left.recover()
            let listed = left.list()
            whole.append(!listed.isEmpty)
            for bundle in listed {
                XCTAssertEqual(bundle.name, "demo", "change \(number)")
                XCTAssertEqual(try BundleFiles.verify(bundle.folder), stored.manifest, "change \(number)")
            }
            let items = try FileManager.default.contentsOfDirectory(atPath: killed.appending(path: "\(number)").path)
            XCTAssertEqual(items, listed.map { _ in "demo.mvlm" }, "change \(number)")
        }
        XCTAssertEqual(whole, whole.indices.map { $0 < whole.count - 1 }, "gone only once it was removed")
    }

    func testWhatCanNotTakeItsPlaceLeavesTheOldOne() throws {
        let zip = try TestBundle(largest: 1000).zipped()
        let stored = try add(zip), changes = Log()
        store = BundleStore(folder.appending(path: "bundles")) { [folder = folder!] in
            // The third change renames the new one into place, so it no longer exists.
            guard changes.addAndCount("change") == 3 else { return }
            let place = folder.appending(path: "bundles/demo.mvlm")
            XCTAssertFalse(FileManager.default.fileExists(atPath: place.path))
            let items = try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "bundles").path)
            for item in items ?? [] where item.hasPrefix(".import-") {
                try? FileManager.default.removeItem(at: folder.appending(path: "bundles/\(item)"))
            }
        }
        assertThrows("demo.mvlm", "can't be written") { try add(zip) }
        XCTAssertEqual(store.list(), [stored])
        XCTAssertEqual(try BundleFiles.verify(stored.folder), stored.manifest)
        requireNothingLeft()
    }

    func testCancellingLeavesNothing() async throws {
        let file = folder.appending(path: "demo.mvlm.zip")
        try TestBundle().zipped().write(to: file)
        let task = Task { [store = store!] in
            withUnsafeCurrentTask { $0?.cancel() }
            return try store.add(file)
        }
        do {
            _ = try await task.value
            XCTFail("expected a cancellation")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
        requireNothingLeft()
    }

    func testTheSameBundleIsReplacedAndAnotherIsNumbered() throws {
        _ = try add(TestBundle().zipped())
        _ = try add(TestBundle().zipped())
        XCTAssertEqual(store.list().map(\.name), ["demo"])
        _ = try add(TestBundle(kitVersion: "0.2.0").zipped())
        XCTAssertEqual(Set(store.list().map(\.name)), ["demo", "demo 2"])
    }

    func testBrokenBundlesAreListedWithTheReason() throws {
        let broken = folder.appending(path: "bundles/broken.mvlm")
        try FileManager.default.createDirectory(at: broken, withIntermediateDirectories: true)
        try Data("{".utf8).write(to: broken.appending(path: ManifestReader.fileName))
        let stored = try XCTUnwrap(store.list().first)
        XCTAssertNil(stored.manifest)
        XCTAssertTrue(try XCTUnwrap(stored.problem).contains("JSON"))
        store.remove(stored)
        XCTAssertEqual(store.list(), [])
        requireNothingLeft()
    }

    func testVerifyingNamesTheFile() throws {
        let stored = try add(TestBundle().zipped())
        let file = stored.folder.appending(path: "tokenizer.json")
        try Data("[]".utf8).write(to: file)
        assertThrows("tokenizer.json", "SHA-256", "damaged") { try BundleFiles.verify(stored.folder) }
        try Data("[ ]".utf8).write(to: file)
        assertThrows("tokenizer.json", "got 3 bytes, expected 2") { try BundleFiles.verify(stored.folder) }
        try FileManager.default.removeItem(at: file)
        assertThrows("tokenizer.json", "missing") { try BundleFiles.verify(stored.folder) }
        let outside = folder.appending(path: "outside.json")
        try Data("{}".utf8).write(to: outside)
        try FileManager.default.createSymbolicLink(at: file, withDestinationURL: outside)
        assertThrows("tokenizer.json", "missing") { try BundleFiles.verify(stored.folder) }
        try FileManager.default.removeItem(at: file)
        try Data("{}".utf8).write(to: file)
        XCTAssertNoThrow(try BundleFiles.verify(stored.folder))
        let golden = stored.folder.appending(path: "golden"), moved = folder.appending(path: "golden")
        try FileManager.default.moveItem(at: golden, to: moved)
        try FileManager.default.createSymbolicLink(at: golden, withDestinationURL: moved)
        assertThrows("golden/large.bin", "missing") { try BundleFiles.verify(stored.folder) }
    }

    func testUnchangedFilesAreHashedOnce() throws {
        let stored = try add(TestBundle().zipped())
        func hashed(_ bundle: URL) throws -> Bool {
            var isHashed = false
            XCTAssertEqual(try BundleFiles.verifyChanged(bundle) { _, _ in isHashed = true }.id, stored.manifest?.id)
            return isHashed
        }
        XCTAssertFalse(try hashed(stored.folder), "the import hashed it")
        let copy = folder.appending(path: "bundles/copy.mvlm")
        try FileManager.default.copyItem(at: stored.folder, to: copy)
        XCTAssertTrue(try hashed(copy), "a copy may differ")
        XCTAssertFalse(try hashed(copy))
        // The same bytes, written later:
        let file = stored.folder.appending(path: "tokenizer.json")
        try Data(contentsOf: file).write(to: file)
        XCTAssertTrue(try hashed(stored.folder))
        XCTAssertFalse(try hashed(stored.folder))
        // Others of the same size:
        try Data("[]".utf8).write(to: file)
        assertThrows("tokenizer.json", "damaged") { try BundleFiles.verifyChanged(stored.folder) }
        assertThrows("tokenizer.json", "damaged") { try BundleFiles.verifyChanged(stored.folder) }
        try Data("{}".utf8).write(to: file)
        XCTAssertTrue(try hashed(stored.folder))
        try FileManager.default.removeItem(at: file)
        assertThrows("tokenizer.json", "missing") { try BundleFiles.verifyChanged(stored.folder) }
    }

    func testNamesAreSafeOnAnyFileSystem() {
        for (name, safe) in [
            ("demo.mvlm.zip", "demo"), ("a/b:c*.mvlm.zip", "a_b_c_"), ("...zip", "bundle"), ("", "bundle"), ("我的.zip", "我的"),
            (String(repeating: "x", count: 300), String(repeating: "x", count: 80)),
        ] {
            XCTAssertEqual(BundleStore.safeName(name), safe)
        }
    }

    private func add(_ zip: Data, progress: (Int64, Int64) -> Void = { _, _ in }) throws -> StoredBundle {
        let file = folder.appending(path: "demo.mvlm.zip")
        try zip.write(to: file)
        return try store.add(file, progress: progress)
    }

    private func refused(_ zip: Data, _ says: String, line: UInt = #line) {
        assertThrows("demo.mvlm.zip", says, line: line) { try add(zip) }
        XCTAssertEqual(store.list(), [], line: line)
        requireNothingLeft(line: line)
    }

    private func requireNothingLeft(line: UInt = #line) {
        let items = (try? FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "bundles").path)) ?? []
        XCTAssertEqual(items.filter { $0.hasPrefix(".") }, [], line: line)
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: folder.appending(path: path).path) }

    private func long(_ value: Int) -> Data { TestBundle.little(value, 8) }
}
