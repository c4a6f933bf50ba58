import MobileVLMCore

/// Whether the user lets the app use the camera.
public enum CameraPermission: Sendable {
    case undecided, allowed, denied
}

/// Why the camera delivers no images.
public enum CameraProblem: Error, Sendable {
    case noCamera, inUse, failed
}

/// The camera's state.
public enum CameraState: Sendable, Equatable {
    case off, open, askPermission, denied, noCamera, inUse, failed
}

/// A camera frame.
public struct Frame: Sendable {
    /// Used to detect whether the scene has changed.
    public let sketch: @Sendable () throws -> FrameSketch
    /// The frame, upright on the screen, with at most 1280 × 960 pixels.
    public let picture: @Sendable () throws -> Picture

    public init(sketch: @escaping @Sendable () throws -> FrameSketch, picture: @escaping @Sendable () throws -> Picture) {
        self.sketch = sketch
        self.picture = picture
    }
}

/// The phone's camera, or a fake.
public protocol Camera: Sendable {
    var permission: CameraPermission { get }

    /// Asks the user once; the system remembers the answer.
    func askPermission() async -> Bool

    /// Opens the camera until the stream's reader ends. The newest frame wins: a slow reader misses some. Throws `CameraProblem`.
    func frames() -> AsyncThrowingStream<Frame, any Error>
}
