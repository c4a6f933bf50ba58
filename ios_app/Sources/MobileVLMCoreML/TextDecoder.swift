#if canImport(CoreML) && !(os(macOS) && arch(x86_64))
    import CoreML
    import Foundation
    import MobileVLMCore

    /// `text_decoder.mlpackage`: `prefill` for the chunks of a prompt and `decode` for single tokens, over one KV cache.
    struct TextDecoder {
        private let prefill: Function
        private let decode: Function
        private let maxContext: Int

        /// Loads the functions of the compiled model `file`.
        ///
        /// - Throws: `EngineError`.
        init(_ file: URL, _ manifest: Manifest, _ spec: CoreMLSpec, _ units: CoreMLSpec.ComputeUnits) throws {
            func function(_ name: String, _ tokens: Int) throws -> Function {
                try Function(name, MLModel.loaded(file, function: name, units), tokens, manifest.sizes, spec)
            }
            prefill = try function("prefill", spec.prefillChunk)
            decode = try function("decode", 1)
            maxContext = spec.maxContext
        }

        /// A KV cache for both functions.
        func makeCache() -> MLState { prefill.model.makeState() }

        /// Appends `count` embeddings, written by `fill` to the first rows, to `cache` at `position`.
        ///
        /// - Returns: the logits of the last one, valid until the next call
        /// - Throws: `EngineError`, also for too many embeddings for a call or the cache; what `fill` throws.
        @discardableResult
        func run(_ count: Int, at position: Int, _ cache: MLState, fill: (NumberRows) throws -> Void) throws -> NumberRow {
            guard (1...prefill.tokens).contains(count), (0...(maxContext - count)).contains(position) else {
                throw EngineError(
                    "engine: got \(count) tokens at position \(position), expected 1 to \(prefill.tokens) and \(maxContext) in all"
                )
            }
            let function = count == 1 ? decode : prefill
            try fill(function.embeds)
            return try function.run(count, at: position, cache)
        }
    }

    /// A function with its inputs and output, which are allocated once and reused in every call.
    private struct Function {
        let model: MLModel
        let tokens: Int
        /// [1, tokens, D]
        let embeds: NumberRows

        private let name: String
        private let width: Int
        private let position: MLMultiArray
        private let length: MLMultiArray
        private let inputs: MLDictionaryFeatureProvider
        private let options = MLPredictionOptions()

        init(_ name: String, _ model: MLModel, _ tokens: Int, _ sizes: ModelSizes, _ spec: CoreMLSpec) throws {
            (self.name, self.model, self.tokens, width) = (name, model, tokens, sizes.vocabSize)
            let shape = [1, tokens, sizes.hiddenSize].map { NSNumber(value: $0) }
            let embeds = try MLMultiArray(shape: shape, spec.embedsType)
            self.embeds = try NumberRows(embeds, "embeds", width: sizes.hiddenSize)
            position = try MLMultiArray(shape: [1], dataType: .int32)
            length = try MLMultiArray(shape: [1], dataType: .int32)
            var features = ["embeds": embeds, "input_pos": position]
            if tokens > 1 { features["length"] = length }
            inputs = try MLDictionaryFeatureProvider(dictionary: features.mapValues { MLFeatureValue(multiArray: $0) })
            let logits = try MLMultiArray(shape: [1, 1, NSNumber(value: sizes.vocabSize)], spec.logitsType)
            // Proposed to Core ML, which may still return its own array.
            options.outputBackings = ["logits": logits]
        }

        func run(_ count: Int, at start: Int, _ cache: MLState) throws -> NumberRow {
            position[0] = NSNumber(value: start)
            length[0] = NSNumber(value: count)
            let outputs = try CoreMLError.describing("text_decoder: Core ML can't run \(name)") {
                try model.prediction(from: inputs, using: cache, options: options)
            }
            return try NumberRows(outputs.array("logits"), "logits", width: width).row(0)
        }
    }

    extension MLMultiArray {
        fileprivate convenience init(shape: [NSNumber], _ type: CoreMLSpec.FloatType) throws {
            try self.init(shape: shape, dataType: type == .fp16 ? .float16 : .float32)
        }
    }
#endif
