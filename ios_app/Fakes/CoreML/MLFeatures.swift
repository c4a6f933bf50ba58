import CoreVideo
import Foundation

open class MLFeatureValue {
    public let multiArrayValue: MLMultiArray?
    public let imageBufferValue: CVPixelBuffer?

    public init(multiArray value: MLMultiArray) {
        multiArrayValue = value
        imageBufferValue = nil
    }

    public init(pixelBuffer value: CVPixelBuffer) {
        multiArrayValue = nil
        imageBufferValue = value
    }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: MLFeatureProvider {
    private let values: [String: MLFeatureValue]

    public init(dictionary: [String: Any]) throws {
        values = dictionary.mapValues { $0 as! MLFeatureValue }
    }

    public var featureNames: Set<String> { Set(values.keys) }
    public func featureValue(for featureName: String) -> MLFeatureValue? { values[featureName] }
}

open class MLPredictionOptions {
    public var outputBackings: [String: Any] = [:]
    public init() {}
}
