#if canImport(CoreML) && !(os(macOS) && arch(x86_64))
    import CoreML
    import MobileVLMCore

    /// The rows of an array [1, N, D] of float16 or float32, accessed in place: Core ML may leave gaps between rows, but not
    /// within them.
    struct NumberRows {
        private let array: MLMultiArray
        private let name: String
        let count: Int
        let width: Int

        /// - Throws: `EngineError` if `array` has another form; errors refer to it as `name`.
        init(_ array: MLMultiArray, _ name: String, width: Int) throws {
            let shape = array.shape.map(\.intValue)
            guard shape.count == 3, shape[0] == 1, shape[2] == width, array.strides[2] == 1 else {
                throw EngineError(
                    "\(name): got \(shape) with strides \(array.strides), expected [1, rows, \(width)] with whole rows")
            }
            guard array.dataType == .float16 || array.dataType == .float32 else {
                throw EngineError("\(name): got numbers of type \(array.dataType.rawValue), expected float16 or float32")
            }
            self.array = array
            self.name = name
            (count, self.width) = (shape[1], width)
        }

        /// - Throws: `EngineError` if there is no row `index`.
        func row(_ index: Int) throws -> NumberRow {
            guard (0..<count).contains(index) else {
                throw EngineError("\(name): got row \(index), expected one of \(count)")
            }
            return NumberRow(array, index, width)
        }

        /// Sets all to 0.
        func zero() {
            for index in 0..<count {
                NumberRow(array, index, width).withBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0) }
            }
        }

        /// All numbers, row after row.
        func floats() -> [Float] {
            (0..<count).flatMap { NumberRow(array, $0, width).floats() }
        }
    }

    /// One row of an array.
    struct NumberRow {
        private let array: MLMultiArray
        private let index: Int
        private let width: Int

        fileprivate init(_ array: MLMultiArray, _ index: Int, _ width: Int) {
            (self.array, self.index, self.width) = (array, index, width)
        }

        /// Fills the row with the embedding of `token`.
        func fill(_ token: Int32, from table: TokenTable) throws {
            try withNumbers({ try table.copy(token, into: $0) }, { try table.copy(token, into: $0) })
        }

        /// Fills the row with `numbers`, each rounded to nearest.
        func fill(_ numbers: ArraySlice<Float>) throws {
            withNumbers(
                { row in for (index, number) in numbers.enumerated() { row[index] = Float16(number) } },
                { row in _ = row.update(fromContentsOf: numbers) })
        }

        /// Fills the row with another, of the same type.
        func fill(from other: NumberRow) throws {
            guard other.array.dataType == array.dataType, other.width == width else {
                throw EngineError("engine: got image embeddings of another type or width than the text decoder's")
            }
            withBytes { bytes in other.withBytes { bytes.copyMemory(from: UnsafeRawBufferPointer($0)) } }
        }

        /// The next token; the row holds logits.
        func next(by sampler: inout Sampler) -> Int32 {
            withNumbers({ sampler.next(UnsafeBufferPointer($0)) }, { sampler.next(UnsafeBufferPointer($0)) })
        }

        /// The numbers.
        func floats() -> [Float] {
            withNumbers({ $0.map(Float.init) }, { Array($0) })
        }

        private func withNumbers<Result>(
            _ half: (UnsafeMutableBufferPointer<Float16>) throws -> Result,
            _ single: (UnsafeMutableBufferPointer<Float>) throws -> Result
        ) rethrows -> Result {
            try withBytes { bytes in
                if array.dataType == .float16 { return try half(bytes.bindMemory(to: Float16.self)) }
                return try single(bytes.bindMemory(to: Float.self))
            }
        }

        fileprivate func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) rethrows -> Result {
            let size = array.dataType == .float16 ? MemoryLayout<UInt16>.size : MemoryLayout<Float>.size
            return try array.withUnsafeMutableBytes { bytes, strides in
                let start = index * strides[1] * size
                return try body(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + width * size)]))
            }
        }
    }
#endif
