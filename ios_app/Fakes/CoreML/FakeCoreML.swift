import Foundation

/// The fake's own part, which Apple's Core ML lacks.
public enum FakeCoreML {
    /// Runs all models.
    nonisolated(unsafe) public static var programs: (any FakePrograms)?

    /// In a compiled model's folder: the path of its package.
    public static let source = "source"
}

/// Replaces Apple's compiler and kernels.
public protocol FakePrograms: AnyObject, Sendable {
    func compile(_ package: URL) throws
    func load(_ package: URL, _ function: String?, _ units: MLComputeUnits) throws
    /// Outputs by name; states are distinguished by identity.
    func run(
        _ package: URL, _ function: String?, _ inputs: [String: MLFeatureValue], _ state: MLState?
    ) throws -> [String: MLMultiArray]
}

/// Core ML's errors are `NSError`s with a description of several lines.
public struct FakeError: LocalizedError {
    private let what: String
    public init(_ what: String) { self.what = what }
    public var errorDescription: String? { "\(what)\nUnderlying error: E5RT (11)" }
}
