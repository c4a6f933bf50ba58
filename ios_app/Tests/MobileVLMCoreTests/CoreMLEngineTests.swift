// Tests the engine with fake programs; they don't exist where Apple's Core ML does.
#if os(Linux)
    import CoreML
    import XCTest

    @testable import MobileVLMCore
    @testable import MobileVLMCoreML

    final class CoreMLEngineTests: XCTestCase {
        private let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        private var manifest: Manifest!
        private var programs: ScriptedPrograms!
        private var width: Int { manifest.sizes.hiddenSize }
        private var before: [PromptRow] { [.token(1), .token(5)] + (0..<manifest.image.tokens).map { .image($0) } }

        override func setUp() async throws {
            try use()
        }

        override func tearDown() {
            try? FileManager.default.removeItem(at: folder)
        }

        /// The golden bundle, but with a table whose token N is N + 0.5 in every column.
        private func use(_ change: (inout [String: Any]) -> Void = { _ in }) throws {
            let golden = try Data(contentsOf: Golden.folder.appending(path: "manifests/good/executorch-and-coreml.json"))
            var values = try JSONSerialization.jsonObject(with: golden) as! [String: Any]
            var artifacts = values["artifacts"] as! [String: Any]
            var made = artifacts["coreml"] as! [String: Any]
            made["token_embedding"] = ["file": "token_embedding.safetensors", "form": "fp32"]
            change(&made)
            artifacts["coreml"] = made
            values["artifacts"] = artifacts
            manifest = try ManifestReader.read(JSONSerialization.data(withJSONObject: values), name: "test")
            programs = ScriptedPrograms(manifest)
            FakeCoreML.programs = programs
            let rows = (0..<manifest.sizes.vocabSize).flatMap { [Float](repeating: Float($0) + 0.5, count: width) }
            let shape = [manifest.sizes.vocabSize, width]
            let header = #"{"weight": {"dtype": "F32", "shape": \#(shape), "data_offsets": [0, \#(4 * rows.count)]}}"#
            let data = TestBundle.little(header.utf8.count, 8) + Data(header.utf8) + rows.withUnsafeBytes { Data($0) }
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try data.write(to: folder.appending(path: manifest.coreML!.tokenEmbedding))
        }

        private func open(
            _ units: CoreMLSpec.ComputeUnits? = nil, system: String = "18.0",
            cooldown: @escaping @Sendable (Duration) -> Duration = { _ in .zero }
        ) async throws -> CoreMLEngine {
            try await CoreMLEngine.open(folder, manifest, on: units, compiled: compiled(system), cooldown: cooldown)
        }

        private func compiled(_ system: String = "18.0") -> CompiledModels {
            CompiledModels(folder.appending(path: "compiled"), system: system)
        }

        private func square(_ red: UInt8) -> [UInt8] {
            [red] + (1..<(3 * manifest.image.size * manifest.image.size)).map { UInt8(truncatingIfNeeded: $0 * 31 / 7) }
        }

        /// The program's input for `row`.
        private func embedding(_ row: PromptRow, red: UInt8) -> [Float] {
            switch row {
            case .token(let token): [Float](repeating: Float(token) + 0.5, count: width)
            case .image(let token): [Float(red), Float(token)] + [Float](repeating: 0, count: width - 2)
            }
        }

        // MARK: - rows, positions and the cache

        func testRowsGoToTheirPlacesOfOneCache() async throws {
            let engine = try await open()
            XCTAssertEqual(engine.chunk, 64)
            programs.calls = []
            var sampler = Sampler.greedy
            try await engine.encodeImage(square(9))
            try await engine.prefill(before, at: 0)
            let last = try await engine.next([.token(7), .token(40)], at: 38, by: &sampler)
            XCTAssertEqual(last, 40 + 39, "the last real row, at its position")
            let single = try await engine.next([.token(last)], at: 40, by: &sampler)
            XCTAssertEqual(single, last + 40)
            XCTAssertEqual(
                programs.calls,
                [
                    .init(function: "prefill", count: 38, position: 0, state: 0),
                    .init(function: "prefill", count: 2, position: 38, state: 0),
                    .init(function: "decode", count: 1, position: 40, state: 0),
                ])
            let rows = before + [.token(7), .token(40), .token(last)]
            XCTAssertEqual(programs.caches, [rows.map { embedding($0, red: 9) }])
        }

        func testAWholeChunkIsFedAndNoMore() async throws {
            let engine = try await open()
            programs.calls = []
            try await engine.prefill((0..<64).map { .token($0) }, at: 448)
            XCTAssertEqual(programs.calls, [.init(function: "prefill", count: 64, position: 448, state: 0)])
            for (count, position) in [(65, 0), (0, 0), (1, 512), (64, 449), (1, -1)] {
                await refused("got \(count) tokens at position \(position), expected 1 to 64 and 512 in all") {
                    try await engine.prefill([PromptRow](repeating: .token(1), count: count), at: position)
                }
            }
            XCTAssertEqual(programs.calls.count, 1)
        }

        func testTheProgramSeesThePixels() async throws {
            let engine = try await open()
            let pixels = square(200)
            try await engine.encodeImage(pixels)
            XCTAssertEqual(programs.pixels.last, pixels)
            await refused("expected 3 × 168 × 168") { try await engine.encodeImage(Array(pixels.dropLast())) }
        }

        func testANewPictureTakesTheOldOnesPlace() async throws {
            let engine = try await open()
            try await engine.encodeImage(square(1))
            try await engine.prefill(before, at: 0)
            try await engine.encodeImage(square(2))
            try await engine.prefill(before, at: 0)
            XCTAssertEqual(programs.caches, [before.map { embedding($0, red: 2) }])
            programs.fails = "main"
            await refused(ScriptedPrograms.complaint) { try await engine.encodeImage(square(3)) }
            programs.fails = nil
            await refused("before any image was encoded") { try await engine.prefill(before, at: 0) }
        }

        func testMissingRowsAreReported() async throws {
            let engine = try await open()
            await refused("before any image was encoded") { try await engine.prefill([.image(0)], at: 0) }
            try await engine.encodeImage(square(1))
            await refused("image_embeddings", "got row 36, expected one of 36") { try await engine.prefill([.image(36)], at: 0) }
            await refused("got token 640") { try await engine.prefill([.token(640)], at: 0) }
        }

        func testProgramsInFloat32() async throws {
            try use { $0["types"] = ["vision": "fp16", "llm": "fp16", "lm_head": "fp32"] }
            var sampler = Sampler.greedy
            let mixed = try await open().next([.token(3), .token(600)], at: 10, by: &sampler)
            XCTAssertEqual(mixed, 611)
            try use { $0["types"] = ["vision": "fp16", "llm": "fp32"] }
            let engine = try await open()
            let token = try await engine.next([.token(600)], at: 11, by: &sampler)
            XCTAssertEqual(token, 611)
            try await engine.encodeImage(square(1))
            // The scripted vision encoder stays in float16, unlike in any bundle.
            await refused("of another type") { try await engine.prefill([.image(0)], at: 0) }
        }

        // MARK: - loading

        func testFunctionsAreLoadedForTheUnitsThatAreChosen() async throws {
            for (chosen, units) in [
                (nil, .cpuAndGPU), (.cpuOnly, .cpuOnly), (.all, .all), (.cpuAndNeuralEngine, .cpuAndNeuralEngine),
            ] as [(CoreMLSpec.ComputeUnits?, MLComputeUnits)] {
                programs.loads = []
                programs.calls = []
                _ = try await open(chosen)
                XCTAssertEqual(
                    programs.loads,
                    [
                        .init(package: "vision_encoder.mlpackage", function: nil, units: units),
                        .init(package: "text_decoder.mlpackage", function: "prefill", units: units),
                        .init(package: "text_decoder.mlpackage", function: "decode", units: units),
                    ])
                XCTAssertEqual(Set(programs.calls.map(\.function)), ["prefill", "decode"], "warmed up")
            }
        }

        func testPackagesAreCompiledOncePerSystem() async throws {
            let both = ["vision_encoder.mlpackage", "text_decoder.mlpackage"]
            for _ in 0..<3 { _ = try await open() }
            XCTAssertEqual(programs.compiled, both)
            _ = try await open(system: "18.1 (Build 22B/5)")
            XCTAssertEqual(programs.compiled, both + both)
            compiled("18.1 (Build 22B/5)").sweep(keeping: [manifest.id])
            _ = try await open(system: "18.1 (Build 22B/5)")
            XCTAssertEqual(programs.compiled.count, 4)
            _ = try await open()
            XCTAssertEqual(programs.compiled.count, 6, "the older system's were swept")
            compiled().remove(manifest.id)
            _ = try await open()
            XCTAssertEqual(programs.compiled.count, 8)
            compiled().sweep(keeping: ["another"])
            XCTAssertEqual(try contents("compiled"), [])
        }

        func testADamagedCompiledModelIsCompiledAgain() async throws {
            _ = try await open()
            let source = try XCTUnwrap(
                FileManager.default.enumerator(atPath: folder.appending(path: "compiled").path)?.compactMap { $0 as? String }
                    .first { $0.hasSuffix("text_decoder.mlmodelc/source") })
            try FileManager.default.removeItem(at: folder.appending(path: "compiled/\(source)"))
            _ = try await open()
            XCTAssertEqual(programs.compiled.count, 4)
        }

        func testTheGPUIsUsedInTheForegroundOnly() async throws {
            let gate = ForegroundGate()
            gate.close()
            let opening = Task { [folder, manifest = manifest!, compiled = compiled()] in
                try await CoreMLEngine.open(folder, manifest, compiled: compiled, foreground: gate)
            }
            try await Task.sleep(for: .milliseconds(20))
            XCTAssertEqual(programs.compiled, [])
            XCTAssertEqual(programs.loads, [])
            gate.open()
            _ = try await opening.value
            XCTAssertEqual(Set(programs.calls.map(\.function)), ["prefill", "decode"], "warmed up")
        }

        func testAFailureThatOverlapsTheBackgroundKeepsTheCompiledModels() async throws {
            _ = try await open()
            for (what, isBackground, compiledAfter) in [("load", true, 2), ("prefill", true, 2), ("prefill", false, 4)] {
                let gate = ForegroundGate()
                programs.fails = what
                programs.beforeFailing = { if isBackground { gate.close() } }
                do {
                    _ = try await CoreMLEngine.open(folder, manifest, compiled: compiled(), foreground: gate)
                    XCTFail("expected a failure")
                } catch {
                    XCTAssertEqual(error is CancellationError, isBackground, "\(error)")
                }
                XCTAssertEqual(programs.compiled.count, compiledAfter, "\(what) \(isBackground)")
            }
        }

        func testWhatCannotBeCompiledKeepsWhatIsCompiled() async throws {
            _ = try await open()
            let compiledDecoder = try XCTUnwrap(
                FileManager.default.enumerator(atPath: folder.appending(path: "compiled").path)?.compactMap { $0 as? String }
                    .first { $0.hasSuffix("text_decoder.mlmodelc") })
            try FileManager.default.removeItem(at: folder.appending(path: "compiled/\(compiledDecoder)"))
            programs.fails = "compile"
            for isBackground in [true, false] {
                let gate = ForegroundGate()
                programs.beforeFailing = { if isBackground { gate.close() } }
                do {
                    _ = try await CoreMLEngine.open(folder, manifest, compiled: compiled(), foreground: gate)
                    XCTFail("expected a failure")
                } catch {
                    XCTAssertEqual(error is CancellationError, isBackground, "\(error)")
                }
            }
            programs.fails = nil
            _ = try await open()
            XCTAssertEqual(programs.compiled, ["vision_encoder.mlpackage", "text_decoder.mlpackage", "text_decoder.mlpackage"])
        }

        func testAFullDiskIsReportedBeforeCompiling() async throws {
            let package = folder.appending(path: "large.mlpackage")
            try FileManager.default.createDirectory(at: package, withIntermediateDirectories: true)
            try Data(count: 1 << 20).write(to: package.appending(path: "weights"))
            func compiled(_ free: Int64?) -> CompiledModels {
                CompiledModels(folder.appending(path: "compiled"), system: "18.0", freeBytes: { _ in free })
            }
            let needed = DiskSpace.reserve + 1 << 20
            await refused("large.mlpackage: got 64 MB free, expected 65 MB") {
                _ = try await compiled(needed - 1).model(of: package, in: manifest.id)
            }
            XCTAssertEqual(programs.compiled, [])
            _ = try await compiled(needed).model(of: package, in: manifest.id)
            XCTAssertEqual(programs.compiled, ["large.mlpackage"])
        }

        func testNothingIncompleteStays() async throws {
            try FileManager.default.createDirectory(
                at: folder.appending(path: "compiled/.making-1"), withIntermediateDirectories: true)
            compiled().sweep(keeping: [manifest.id])
            XCTAssertEqual(try contents("compiled"), [])
            programs.fails = "compile"
            await refused("vision_encoder.mlpackage: Core ML can't compile it", ScriptedPrograms.complaint) {
                _ = try await open()
            }
            programs.fails = nil
            try Data().write(to: folder.appending(path: "compiled/\(manifest.id)"))
            await refused("can't be written") {
                _ = try await compiled().model(of: folder.appending(path: "x.mlpackage"), in: manifest.id)
            }
            XCTAssertEqual(try contents("compiled"), [manifest.id])
        }

        func testFailedLoadsAreReportedWithAReason() async throws {
            programs.fails = "load"
            await refused("Core ML can't load it", ScriptedPrograms.complaint) { _ = try await open() }
            programs.fails = "decode"
            await refused("text_decoder: Core ML can't run decode", ScriptedPrograms.complaint) { _ = try await open() }
            let table = folder.appending(path: manifest.coreML!.tokenEmbedding)
            try Data("table".utf8).write(to: table)
            await refused(table.path, "expected a safetensors file") { _ = try await open() }
            let android = try ManifestReader.read(Golden.folder.appending(path: "manifests/good/demo.json"))
            await refused("got no program for coreml") { _ = try await CoreMLEngine.open(folder, android, compiled: compiled()) }
        }

        // MARK: - running

        func testAFailureIsOneLineAndTheNextCallRuns() async throws {
            let engine = try await open()
            var sampler = Sampler.greedy
            programs.fails = "prefill"
            await refused("text_decoder: Core ML can't run prefill (\(ScriptedPrograms.complaint))") {
                try await engine.prefill([.token(1), .token(2)], at: 0)
            }
            programs.fails = nil
            let token = try await engine.next([.token(1), .token(2)], at: 0, by: &sampler)
            XCTAssertEqual(token, 3)
        }

        func testOutputsOfAnotherFormAreRefused() async throws {
            let engine = try await open()
            let programs = programs!, width = width
            func refusedWith(_ outputs: [String: MLMultiArray], _ parts: String...) async {
                programs.spoil = { _ in outputs }
                for part in parts {
                    await refused(part, "expected") {
                        var sampler = Sampler.greedy
                        _ = try await engine.next([.token(1)], at: 0, by: &sampler)
                    }
                }
            }
            await refusedWith([:], "no logits")
            let int32 = MLMultiArray(shape: [1, 1, 640], dataType: .int32, strides: [640, 640, 1])
            // No backing is proposed under these names.
            programs.spoil = { _ in ["image_embeddings": int32, "features": int32] }
            try await engine.encodeImage(square(1))
            await refused("image_embeddings: got [1, 1, 640]", "expected [1, rows, \(width)]") {
                try await engine.prefill([.image(0), .image(0)], at: 0)
            }
            let rotated = MLMultiArray(shape: [1, 36, width], dataType: .float16, strides: [36 * width, 1, 36])
            programs.spoil = { _ in ["image_embeddings": rotated, "features": rotated] }
            try await engine.encodeImage(square(1))
            await refused("with strides") { try await engine.prefill([.image(0), .image(0)], at: 0) }
            let numbers = MLMultiArray(shape: [1, 36, width], dataType: .int32, strides: [36 * width, width, 1])
            programs.spoil = { _ in ["image_embeddings": numbers, "features": numbers] }
            try await engine.encodeImage(square(1))
            await refused("numbers of type", "expected float16") { try await engine.prefill([.image(0), .image(0)], at: 0) }
        }

        func testMethodsRunOverACacheOfTheirOwn() async throws {
            let engine = try await open()
            var sampler = Sampler.greedy
            try await engine.encodeImage(square(9))
            try await engine.prefill(before, at: 0)
            let image = try await engine.visionEncoder(square(4))
            XCTAssertEqual(image, (0..<manifest.image.tokens).flatMap { embedding(.image($0), red: 4) })
            let rows = try await engine.tokenEmbedding([3, 639])
            XCTAssertEqual(rows, embedding(.token(3), red: 0) + embedding(.token(639), red: 0))
            let first = try await engine.textDecoder(image + rows, at: 0)
            XCTAssertEqual(first.count, 640)
            XCTAssertEqual(first.firstIndex(of: 1), (639 + 37) % 640)
            let second = try await engine.textDecoder(Array(rows[..<width]), at: 38)
            XCTAssertEqual(second.firstIndex(of: 1), 3 + 38)
            XCTAssertEqual(programs.caches.count, 2)
            XCTAssertEqual(programs.caches[0], before.map { embedding($0, red: 9) }, "the conversation's, untouched")
            XCTAssertEqual(programs.caches[1].count, 39)
            await refused("expected rows of 192") { _ = try await engine.textDecoder([1], at: 0) }
            _ = try await engine.next([.image(0)], at: 38, by: &sampler)
            XCTAssertEqual(programs.caches[0].last, embedding(.image(0), red: 9), "the conversation's picture too")
            await refused("at position 39", "expected the ones before") { _ = try await engine.textDecoder(rows, at: 39) }
        }

        func testAHotPhonePausesAfterEachCall() async throws {
            let rests = Rests()
            let pause = Duration.milliseconds(100)
            let engine = try await open(cooldown: { worked in
                rests.add(worked)
                return pause
            })
            programs.times = []
            var sampler = Sampler.greedy
            try await engine.encodeImage(square(1))
            try await engine.prefill(before, at: 0)
            for position in 38..<41 { _ = try await engine.next([.token(1)], at: position, by: &sampler) }
            XCTAssertEqual(rests.all.count, 5)
            XCTAssertTrue(rests.all.allSatisfy { $0 > .zero })
            for (before, after) in zip(programs.times, programs.times.dropFirst()) {
                XCTAssertGreaterThanOrEqual(after.began - before.ended, pause)
            }
        }

        func testHowLongAHotPhonePauses() {
            let worked = Duration.milliseconds(50)
            XCTAssertEqual(Thermal.allCases.map { $0.cooldown(after: worked) }, [.zero, .zero, worked, worked * 3])
            XCTAssertEqual(Thermal.critical.cooldown(after: .seconds(9)), .seconds(2))
            XCTAssertEqual(Thermal.cooldownNow(after: worked), .zero, "Linux doesn't tell")
        }

        private final class Rests: @unchecked Sendable {
            private let lock = NSLock()
            private var asked = [Duration]()
            var all: [Duration] { lock.withLock { asked } }
            func add(_ worked: Duration) { lock.withLock { asked.append(worked) } }
        }

        private func contents(_ path: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: path).path).sorted()
        }

        /// Checks that `work` throws a one-line error that contains each of `parts`.
        private func refused(_ parts: String..., line: UInt = #line, _ work: () async throws -> Void) async {
            do {
                try await work()
                XCTFail("got no error, expected one that names \(parts)", line: line)
            } catch {
                XCTAssertTrue(error is any MobileVLMError, "\(error)", line: line)
                for part in parts { XCTAssertTrue("\(error)".contains(part), "got '\(error)', expected '\(part)'", line: line) }
                XCTAssertFalse("\(error)".contains("\n"), "\(error)", line: line)
            }
        }
    }
#endif
