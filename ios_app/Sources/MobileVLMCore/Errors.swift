/// An error reported to the user in one line: what was got, what was expected, and in which file.
public protocol MobileVLMError: Error, Sendable, CustomStringConvertible {
    var message: String { get }
}

extension MobileVLMError {
    public var description: String { message }
}

/// A bundle is damaged, unsafe, of a newer format, or has no program for this app.
public struct BundleError: MobileVLMError, Equatable {
    public let message: String
    public init(_ message: String) { self.message = message }
}

/// A picture can't be used.
public struct PictureError: MobileVLMError, Equatable {
    public let message: String
    public init(_ message: String) { self.message = message }
}

/// A question or a conversation can't be put into the prompt.
public struct PromptError: MobileVLMError, Equatable {
    public let message: String
    public init(_ message: String) { self.message = message }
}

/// A golden record can't be read, or a capture can't be written.
public struct CaptureError: MobileVLMError, Equatable {
    public let message: String
    public init(_ message: String) { self.message = message }
}

/// The engine can't load or run the program.
public struct EngineError: MobileVLMError, Equatable {
    public let message: String
    public init(_ message: String) { self.message = message }
}

/// The phone has `availableBytes` for a model that needs `neededBytes`.
public struct MemoryError: MobileVLMError, Equatable {
    public let neededBytes: Int64
    public let availableBytes: Int64

    public init(neededBytes: Int64, availableBytes: Int64) {
        self.neededBytes = neededBytes
        self.availableBytes = availableBytes
    }

    public var message: String { "memory: got \(availableBytes >> 20) MB, expected \(neededBytes >> 20) MB" }
}
