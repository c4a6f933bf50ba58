import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly = 0
    case cpuAndGPU = 1
    case all = 2
    case cpuAndNeuralEngine = 3
}

open class MLModelConfiguration {
    public var computeUnits = MLComputeUnits.all
    public var functionName: String?
    public init() {}
}

open class MLState {
    fileprivate init() {}
}

open class MLModel {
    private let package: URL
    private let function: String?

    public convenience init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
        let source = try String(contentsOf: url.appendingPathComponent(FakeCoreML.source), encoding: .utf8)
        try self.init(URL(fileURLWithPath: source), configuration)
    }

    private init(_ package: URL, _ configuration: MLModelConfiguration) throws {
        (self.package, function) = (package, configuration.functionName)
        try FakeCoreML.programs!.load(package, function, configuration.computeUnits)
    }

    open class func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel {
        try MLModel(contentsOf: url, configuration: configuration)
    }

    /// A folder chosen by the system for the compiled `modelURL`, which must be a package.
    open class func compileModel(at modelURL: URL) async throws -> URL {
        try FakeCoreML.programs!.compile(modelURL)
        let made = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).mlmodelc")
        try FileManager.default.createDirectory(at: made, withIntermediateDirectories: true)
        try Data(modelURL.path.utf8).write(to: made.appendingPathComponent(FakeCoreML.source))
        return made
    }

    open func makeState() -> MLState { MLState() }

    open func prediction(from input: any MLFeatureProvider, options: MLPredictionOptions) throws -> any MLFeatureProvider {
        try run(input, nil, options)
    }

    open func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider {
        try run(input, nil, options)
    }

    open func prediction(
        from inputFeatures: any MLFeatureProvider, using state: MLState, options: MLPredictionOptions
    ) throws -> any MLFeatureProvider {
        try run(inputFeatures, state, options)
    }

    open func prediction(
        from input: any MLFeatureProvider, using state: MLState, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider {
        try run(input, state, options)
    }

    private func run(
        _ input: any MLFeatureProvider, _ state: MLState?, _ options: MLPredictionOptions
    ) throws -> any MLFeatureProvider {
        let inputs = Dictionary(uniqueKeysWithValues: input.featureNames.map { ($0, input.featureValue(for: $0)!) })
        let outputs = try FakeCoreML.programs!.run(package, function, inputs, state)
        return try MLDictionaryFeatureProvider(
            dictionary: Dictionary(
                uniqueKeysWithValues: outputs.map { name, array in
                    let backing = options.outputBackings[name] as? MLMultiArray
                    return (name, MLFeatureValue(multiArray: try backing.map { try put(array, into: $0) } ?? array))
                }))
    }

    /// Core ML may use a proposed array or not; here it does, and the array must fit.
    private func put(_ array: MLMultiArray, into backing: MLMultiArray) throws -> MLMultiArray {
        guard array.shape == backing.shape, array.strides == backing.strides, array.dataType == backing.dataType else {
            throw FakeError("the output backing doesn't fit the output's shape, strides or type")
        }
        backing.withUnsafeMutableBytes { to, _ in array.withUnsafeBytes { to.copyMemory(from: $0) } }
        return backing
    }
}
