#if canImport(CoreML) && !(os(macOS) && arch(x86_64))
    import CoreML
    import CoreVideo
    import Foundation
    import MobileVLMCore

    /// `vision_encoder.mlpackage`: a square image in, its embeddings and CLIP's features out.
    struct VisionEncoder {
        private let model: MLModel
        private let side: Int
        private let picture: CVPixelBuffer
        private let inputs: MLDictionaryFeatureProvider

        /// Loads the compiled model `file`.
        ///
        /// - Throws: `EngineError`.
        init(_ file: URL, _ manifest: Manifest, _ spec: CoreMLSpec, _ units: CoreMLSpec.ComputeUnits) throws {
            model = try MLModel.loaded(file, function: nil, units)
            side = manifest.image.size
            var buffer: CVPixelBuffer?
            CVPixelBufferCreate(nil, side, side, kCVPixelFormatType_32BGRA, nil, &buffer)
            guard let buffer else { throw EngineError("engine: not enough memory for an image of \(side) × \(side) pixels") }
            picture = buffer
            inputs = try MLDictionaryFeatureProvider(dictionary: ["image": MLFeatureValue(pixelBuffer: buffer)])
        }

        /// - Parameter pixels: uint8 [3, S, S]
        /// - Returns: `embeddings` [1, image tokens, D] and `features` [1, patches, vision width], new each time
        /// - Throws: `EngineError`.
        func run(_ pixels: [UInt8]) throws -> (embeddings: MLMultiArray, features: MLMultiArray) {
            guard pixels.count == 3 * side * side else {
                throw EngineError("engine: got \(pixels.count) bytes of pixels, expected 3 × \(side) × \(side)")
            }
            put(pixels)
            let outputs = try CoreMLError.describing("vision_encoder: Core ML can't run it") {
                try model.prediction(from: inputs, options: MLPredictionOptions())
            }
            return (try outputs.array("image_embeddings"), try outputs.array("features"))
        }

        /// Planes of red, green and blue → blue, green, red and alpha of each pixel.
        private func put(_ pixels: [UInt8]) {
            CVPixelBufferLockBaseAddress(picture, [])
            defer { CVPixelBufferUnlockBaseAddress(picture, []) }
            let stride = CVPixelBufferGetBytesPerRow(picture), plane = side * side
            let bytes = CVPixelBufferGetBaseAddress(picture)!.assumingMemoryBound(to: UInt8.self)
            for y in 0..<side {
                for x in 0..<side {
                    let from = y * side + x, to = bytes + y * stride + 4 * x
                    to[0] = pixels[from + 2 * plane]
                    to[1] = pixels[from + plane]
                    to[2] = pixels[from]
                    to[3] = 255
                }
            }
        }
    }

    extension MLModel {
        /// The function `function` of the compiled model `file`, or its only one.
        static func loaded(_ file: URL, function: String?, _ units: CoreMLSpec.ComputeUnits) throws -> MLModel {
            let configuration = MLModelConfiguration()
            configuration.computeUnits =
                switch units {
                case .cpuOnly: .cpuOnly
                case .cpuAndGPU: .cpuAndGPU
                case .cpuAndNeuralEngine: .cpuAndNeuralEngine
                case .all: .all
                }
            configuration.functionName = function
            return try CoreMLError.describing("\(file.path): Core ML can't load \(function ?? "it")") {
                try MLModel(contentsOf: file, configuration: configuration)
            }
        }
    }

    extension MLFeatureProvider {
        /// The array `name`.
        func array(_ name: String) throws -> MLMultiArray {
            guard let array = featureValue(for: name)?.multiArrayValue else {
                throw EngineError("engine: got no \(name) from the program, expected an array")
            }
            return array
        }
    }
#endif
