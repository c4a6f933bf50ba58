import MobileVLMCore

/// Whether the user lets the app use the camera.
public enum CameraPermission: Sendable {
    case undecided, allowed, denied
}

/// Why the camera delivers no images.
public enum CameraProblem: Error, Sendable {
    case noCamera, inUse, tooHot, failed
}

/// The camera's state.
public enum CameraState: Sendable, Equatable {
    case off, open, askPermission, denied, noCamera, inUse, tooHot, failed
}

/// A camera frame, upright.
public struct Frame: Sendable {
    /// At most 1280 × 960 pixels.
    public let width: Int
    public let height: Int
    /// The screen is locked a quarter turn away from upright.
    public let isTurned: Bool
    /// Used to detect whether the scene has changed, in a part of the frame.
    public let sketch: @Sendable (PixelRect) throws -> FrameSketch
    /// A part of the frame.
    public let picture: @Sendable (PixelRect) throws -> Picture

    public init(
        width: Int, height: Int, isTurned: Bool = false, sketch: @escaping @Sendable (PixelRect) throws -> FrameSketch,
        picture: @escaping @Sendable (PixelRect) throws -> Picture
    ) {
        self.width = width
        self.height = height
        self.isTurned = isTurned
        self.sketch = sketch
        self.picture = picture
    }

    /// What `viewfinder`, which it fills, shows of it.
    func visible(in viewfinder: Extent?) -> PixelRect {
        PixelRect.visible(width: width, height: height, in: viewfinder, isTurned: isTurned)
    }
}

/// What an open camera delivers.
public enum CameraEvent: Sendable {
    case frame(Frame)
    /// Frames stop for now, and continue by themselves.
    case interrupted(CameraProblem)
}

/// What the user can set.
public struct CameraControls: Sendable, Equatable {
    public enum Side: Sendable { case back, front }

    public internal(set) var side = Side.back
    public internal(set) var isTorchOn = false
    /// 1 is the normal view; the camera's limits apply.
    public internal(set) var zoom = 1.0
    /// -1, dark, to 1, bright.
    public internal(set) var exposure = 0.0
    /// Where to focus, in the camera's own coordinates from 0 to 1; nil for the camera's choice.
    public internal(set) var focus: Extent?

    public init() {}
}

/// What a camera can do.
public struct CameraAbilities: Sendable, Equatable {
    public let canSwitch: Bool
    public let hasTorch: Bool
    public let maxZoom: Double

    public init(canSwitch: Bool, hasTorch: Bool, maxZoom: Double) {
        self.canSwitch = canSwitch
        self.hasTorch = hasTorch
        self.maxZoom = maxZoom
    }
}

/// The phone's camera, or a fake.
public protocol Camera: Sendable {
    var permission: CameraPermission { get }

    /// Of the camera at `side`.
    func abilities(_ side: CameraControls.Side) -> CameraAbilities

    /// Asks the user once; the system remembers the answer.
    func askPermission() async -> Bool

    /// Opens the camera until the stream's reader ends. The newest frame wins: a slow reader misses some. Throws `CameraProblem`.
    func events() -> AsyncThrowingStream<CameraEvent, any Error>

    /// Applies to the open camera, and to later ones.
    func apply(_ controls: CameraControls)
}
