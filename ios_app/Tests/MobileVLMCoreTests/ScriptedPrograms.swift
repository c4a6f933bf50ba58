#if os(Linux)
    import CoreML
    import CoreVideo
    import Foundation

    @testable import MobileVLMCore

    /// Programs that record their inputs. An image's embedding N is the image's first red byte plus N; the most likely token after a row is
    /// the row's first number and its position.
    @dynamicMemberLookup
    final class ScriptedPrograms: FakePrograms, @unchecked Sendable {
        struct Load: Equatable {
            let package: String
            let function: String?
            let units: MLComputeUnits
        }

        struct Call: Equatable {
            let function: String
            let count: Int
            let position: Int
            let state: Int
        }

        /// Core ML's message on failure.
        static let complaint = "Failed to build the model execution plan"

        /// What tests read and set while programs run; its members are the class's own.
        struct Record {
            var compiled = [String]()
            var loads = [Load]()
            var calls = [Call]()
            /// The start and end of each call.
            var times = [(began: ContinuousClock.Instant, ended: ContinuousClock.Instant)]()
            /// The vision encoder's input: red, green, blue planes.
            var pixels = [[UInt8]]()
            /// Rows by state and position.
            var caches = [[[Float]]]()
            /// Fails `compile`, `load`, or a function, by name.
            var fails: String?
            /// Called before each failure.
            var beforeFailing: () -> Void = {}
            /// Changes a function's outputs.
            var spoil: ([String: MLMultiArray]) -> [String: MLMultiArray] = { $0 }
        }

        private let manifest: Manifest
        private let lock = NSLock()
        private var record = Record()
        private var states = [MLState]()

        init(_ manifest: Manifest) {
            self.manifest = manifest
        }

        subscript<Value>(dynamicMember member: WritableKeyPath<Record, Value>) -> Value {
            get { lock.withLock { record[keyPath: member] } }
            set { lock.withLock { record[keyPath: member] = newValue } }
        }

        func compile(_ package: URL) throws {
            try lock.withLock {
                try failIf("compile")
                record.compiled.append(package.lastPathComponent)
            }
        }

        func load(_ package: URL, _ function: String?, _ units: MLComputeUnits) throws {
            try lock.withLock {
                try failIf("load")
                record.loads.append(Load(package: package.lastPathComponent, function: function, units: units))
            }
        }

        func run(
            _ package: URL, _ function: String?, _ inputs: [String: MLFeatureValue], _ state: MLState?
        ) throws -> [String: MLMultiArray] {
            try lock.withLock {
                let began = ContinuousClock.now
                defer { record.times.append((began, .now)) }
                try failIf(function ?? "main")
                switch (package.lastPathComponent, function, state) {
                case ("vision_encoder.mlpackage", nil, nil): return record.spoil(look(inputs["image"]!.imageBufferValue!))
                case ("text_decoder.mlpackage", let function?, let state?):
                    return record.spoil(try decode(function, inputs, state))
                default: throw FakeError("got \(package.path) \(function ?? "main") with \(state == nil ? "no " : "a ")state")
                }
            }
        }

        private func failIf(_ what: String) throws {
            guard record.fails == what else { return }
            record.beforeFailing()
            throw FakeError(Self.complaint)
        }

        private func look(_ picture: CVPixelBuffer) -> [String: MLMultiArray] {
            CVPixelBufferLockBaseAddress(picture, .readOnly)
            defer { CVPixelBufferUnlockBaseAddress(picture, .readOnly) }
            let bytes = CVPixelBufferGetBaseAddress(picture)!.assumingMemoryBound(to: UInt8.self)
            let stride = CVPixelBufferGetBytesPerRow(picture), side = manifest.image.size
            record.pixels.append(
                [2, 1, 0].flatMap { channel in
                    (0..<side).flatMap { y in (0..<side).map { x in bytes[y * stride + 4 * x + channel] } }
                })
            let red = Float(bytes[2])
            let rows = (0..<manifest.image.tokens).map { [red, Float($0)] }
            return ["image_embeddings": array(rows, manifest.sizes.hiddenSize, gap: 32), "features": array([[0]], 4, gap: 0)]
        }

        private func decode(
            _ function: String, _ inputs: [String: MLFeatureValue], _ state: MLState
        ) throws -> [String: MLMultiArray] {
            let embeds = inputs["embeds"]!.multiArrayValue!, position = inputs["input_pos"]!.multiArrayValue![0].intValue
            let tokens = embeds.shape[1].intValue
            guard tokens == (function == "prefill" ? manifest.coreML!.prefillChunk : 1),
                (inputs["length"] == nil) == (tokens == 1)
            else { throw FakeError("got \(inputs.keys.sorted()), embeds \(embeds.shape), for \(function)") }
            let count = inputs["length"]?.multiArrayValue![0].intValue ?? 1
            if !states.contains(where: { $0 === state }) {
                states.append(state)
                record.caches.append([])
            }
            let number = states.firstIndex { $0 === state }!
            record.calls.append(Call(function: function, count: count, position: position, state: number))
            let rows = (0..<count).map { row(embeds, $0) }
            record.caches[number].replaceSubrange(min(position, record.caches[number].count)..., with: rows)
            let last = rows[count - 1][0].isNaN ? 0 : Int(rows[count - 1][0])
            var logits = [Float](repeating: 0, count: manifest.sizes.vocabSize)
            logits[(last + position + count - 1) % logits.count] = 1
            return ["logits": array([logits], logits.count, gap: 0, manifest.coreML!.logitsType)]
        }

        private func row(_ array: MLMultiArray, _ index: Int) -> [Float] {
            let width = array.shape[2].intValue
            return array.withUnsafeBytes { bytes in
                array.dataType == .float16
                    ? bytes.bindMemory(to: Float16.self)[(index * width)..<((index + 1) * width)].map(Float.init)
                    : Array(bytes.bindMemory(to: Float.self)[(index * width)..<((index + 1) * width)])
            }
        }

        /// [1, rows, width]; missing values in `rows` are 0.
        func array(_ rows: [[Float]], _ width: Int, gap: Int, _ type: CoreMLSpec.FloatType = .fp16) -> MLMultiArray {
            let step = width + gap
            let array = MLMultiArray(
                shape: [1, rows.count, width], dataType: type == .fp16 ? .float16 : .float32,
                strides: [rows.count * step, step, 1])
            array.withUnsafeMutableBytes { bytes, _ in
                for (index, row) in rows.enumerated() {
                    for column in 0..<width {
                        let value = column < row.count ? row[column] : 0
                        if type == .fp16 {
                            bytes.bindMemory(to: Float16.self)[index * step + column] = Float16(value)
                        } else {
                            bytes.bindMemory(to: Float.self)[index * step + column] = value
                        }
                    }
                }
            }
            return array
        }
    }
#endif
