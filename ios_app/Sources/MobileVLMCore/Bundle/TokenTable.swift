import Foundation

/// The token embedding, looked up row by row in a memory-mapped safetensors file.
///
/// `lower/token_table.py` describes the file for each form in the manifest: a row is its numbers times its scales.
public final class TokenTable: Sendable {
    /// Number of rows, and numbers per row.
    public let vocabSize: Int
    public let width: Int

    private let form: CoreMLSpec.TableForm
    private let name: String
    private let bytes: Data
    private let weight: Range<Int>
    private let scale: Range<Int>?

    /// Maps the table in `file`, packed as `form`, with `vocabSize` rows of `width` numbers.
    ///
    /// - Throws: `BundleError` if it can't be read or isn't such a table.
    public init(_ file: URL, form: CoreMLSpec.TableForm, vocabSize: Int, width: Int) throws(BundleError) {
        let tensors = try SafetensorsFile(file)
        func bytes(_ tensor: String, _ type: SafetensorsFile.DataType, _ columns: Int) throws(BundleError) -> Range<Int> {
            try tensors.bytes(of: tensor, type, [vocabSize, columns])
        }
        switch form {
        case .fp32:
            weight = try bytes("weight", .F32, width)
            scale = nil
        case .int8:
            weight = try bytes("weight", .I8, width)
            scale = try bytes("scale", .F32, 1)
        case .int4:
            guard width.isMultiple(of: Self.group) else {
                throw BundleError("\(file.path): got int4 rows \(width) wide, expected a multiple of \(Self.group)")
            }
            weight = try bytes("weight", .U8, width / 2)
            scale = try bytes("scale", .F32, width / Self.group)
        }
        try tensors.requireOnly(form == .fp32 ? ["weight"] : ["scale", "weight"])
        self.form = form
        self.vocabSize = vocabSize
        self.width = width
        self.bytes = tensors.content
        name = file.path
    }

    /// Writes the embedding of `token` to `row`, of `width` numbers.
    ///
    /// - Throws: `EngineError` if the vocabulary has no such token.
    public func copy(_ token: Int32, into row: UnsafeMutableBufferPointer<Float>) throws(EngineError) {
        try unpack(token, into: row)
    }

    #if !(os(macOS) && arch(x86_64))  // Swift has no Float16 on Intel Macs
        /// As for `Float`, each number rounded to nearest.
        public func copy(_ token: Int32, into row: UnsafeMutableBufferPointer<Float16>) throws(EngineError) {
            try unpack(token, into: row)
        }
    #endif

    /// Columns that share a scale in int4.
    private static let group = 32

    @inline(__always)
    private func unpack<Number: BinaryFloatingPoint>(
        _ token: Int32, into row: UnsafeMutableBufferPointer<Number>
    ) throws(EngineError) {
        precondition(row.count == width, "got room for \(row.count) numbers, expected \(width)")
        guard (0..<vocabSize).contains(Int(token)) else {
            throw EngineError("\(name): got token \(token), expected 0 to \(vocabSize - 1)")
        }
        bytes.withUnsafeBytes { (file: UnsafeRawBufferPointer) in
            let numbers = weight.lowerBound + Int(token) * (weight.count / vocabSize)
            let scales = scale.map { $0.lowerBound + Int(token) * ($0.count / vocabSize) } ?? 0
            func float(_ start: Int, _ index: Int) -> Float {
                file.loadUnaligned(fromByteOffset: start + index * MemoryLayout<Float>.size, as: Float.self)
            }
            switch form {
            case .fp32:
                for column in 0..<width { row[column] = Number(float(numbers, column)) }
            case .int8:
                let scale = float(scales, 0)
                for column in 0..<width { row[column] = Number(Float(Int8(bitPattern: file[numbers + column])) * scale) }
            case .int4:
                for group in 0..<(width / Self.group) {
                    let scale = float(scales, group), first = group * Self.group
                    for column in stride(from: first, to: first + Self.group, by: 2) {
                        let pair = file[numbers + column / 2]  // the even column in the low four bits
                        row[column] = Number(Float(Int(pair & 15) - 8) * scale)
                        row[column + 1] = Number(Float(Int(pair >> 4) - 8) * scale)
                    }
                }
            }
        }
    }
}
