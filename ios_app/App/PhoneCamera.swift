import AVFoundation
import MobileVLMApp
import MobileVLMCore

/// The back camera, or the only one. The newest frame wins; a slow reader misses frames.
///
/// `queue` guards all mutable state.
final class PhoneCamera: NSObject, Camera, @unchecked Sendable {
    let session = AVCaptureSession()
    let device: AVCaptureDevice?

    private let queue = DispatchQueue(label: "camera")
    private let output = AVCaptureVideoDataOutput()
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var watching = [any NSObjectProtocol]()
    private var reader: AsyncThrowingStream<Frame, any Error>.Continuation?
    private var opening = 0  // counts openings, so that the end of an old one doesn't close a newer one

    override init() {
        let back = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back)
        device = back ?? AVCaptureDevice.default(for: .video)
    }

    var permission: CameraPermission {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .notDetermined: .undecided
        case .authorized: .allowed
        default: .denied
        }
    }

    func askPermission() async -> Bool {
        await AVCaptureDevice.requestAccess(for: .video)
    }

    func frames() -> AsyncThrowingStream<Frame, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { reader in
            queue.async { self.open(reader) }
        }
    }

    private func open(_ reader: AsyncThrowingStream<Frame, any Error>.Continuation) {
        opening += 1
        let mine = opening
        reader.onTermination = { _ in self.queue.async { self.close(mine) } }
        do {
            if rotation == nil { try connect() }
        } catch {
            reader.finish(throwing: error)
            return
        }
        self.reader = reader
        watch()
        session.startRunning()
    }

    private func close(_ number: Int) {
        guard number == opening else { return }
        reader = nil
        for token in watching { NotificationCenter.default.removeObserver(token) }
        watching = []
        session.stopRunning()
    }

    private func fail(_ problem: CameraProblem) {
        queue.async { self.reader?.finish(throwing: problem) }
    }

    // MARK: - the session

    private func connect() throws(CameraProblem) {
        guard let device else { throw .noCamera }
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        guard let input = try? AVCaptureDeviceInput(device: device), session.canAddInput(input), session.canAddOutput(output)
        else { throw .failed }
        session.addInput(input)
        // BGRA: a picture's format with the bytes swapped.
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: queue)
        session.addOutput(output)
        choose(device)
        rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)
    }

    /// The model uses a few hundred pixels; the largest 4:3 size up to 1280 × 960 is plenty.
    private func choose(_ device: AVCaptureDevice) {
        let fitting = device.formats.filter { format in
            let size = CMVideoFormatDescriptionGetDimensions(format.formatDescription)
            return size.width * 3 == size.height * 4 && size.width <= 1280
        }
        let widest = fitting.max { first, second in
            CMVideoFormatDescriptionGetDimensions(first.formatDescription).width
                < CMVideoFormatDescriptionGetDimensions(second.formatDescription).width
        }
        guard let widest, (try? device.lockForConfiguration()) != nil else {
            session.sessionPreset = .vga640x480
            return
        }
        session.sessionPreset = .inputPriority
        device.activeFormat = widest
        device.unlockForConfiguration()
    }

    private func watch() {
        let center = NotificationCenter.default
        watching = [
            center.addObserver(forName: AVCaptureSession.wasInterruptedNotification, object: session, queue: nil) {
                [weak self] note in
                let number = note.userInfo?[AVCaptureSessionInterruptionReasonKey] as? Int
                switch number.flatMap(AVCaptureSession.InterruptionReason.init(rawValue:)) {
                // The app goes to the background and closes the camera itself.
                case .videoDeviceNotAvailableInBackground: break
                case .videoDeviceInUseByAnotherClient, .videoDeviceNotAvailableWithMultipleForegroundApps: self?.fail(.inUse)
                default: self?.fail(.failed)
                }
            },
            center.addObserver(forName: AVCaptureSession.runtimeErrorNotification, object: session, queue: nil) { [weak self] _ in
                self?.fail(.failed)
            },
        ]
    }
}

extension PhoneCamera: AVCaptureVideoDataOutputSampleBufferDelegate {
    func captureOutput(_ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection) {
        // Makes the next frames upright for the phone's orientation.
        if let angle = rotation?.videoRotationAngleForHorizonLevelCapture, connection.videoRotationAngle != angle,
            connection.isVideoRotationAngleSupported(angle)
        {
            connection.videoRotationAngle = angle
            return
        }
        guard let buffer = CMSampleBufferGetImageBuffer(sample) else { return }
        let pixels = CapturedPixels(buffer: buffer)
        reader?.yield(Frame(sketch: pixels.sketch, picture: pixels.picture))
    }
}

/// A frame's pixels: blue, green, red and an unused byte; read-only.
private struct CapturedPixels: @unchecked Sendable {
    let buffer: CVPixelBuffer

    /// Green serves as brightness.
    func sketch() throws -> FrameSketch {
        try reading { width, height, rowStride, bytes in
            try FrameSketch(
                width: width, height: height, rowStride: rowStride, pixelStride: 4,
                luma: UnsafeRawBufferPointer(rebasing: bytes[1...]))
        }
    }

    func picture() throws -> Picture {
        try reading { width, height, rowStride, bytes in
            let pixels = [UInt32](unsafeUninitializedCapacity: width * height) { room, count in
                let into = UnsafeMutableRawBufferPointer(room)
                for row in 0..<height {
                    let line = UnsafeRawBufferPointer(rebasing: bytes[row * rowStride..<row * rowStride + 4 * width])
                    UnsafeMutableRawBufferPointer(rebasing: into[4 * width * row..<4 * width * (row + 1)]).copyMemory(from: line)
                }
                count = width * height
            }
            return try Picture(width: width, height: height, pixels: pixels)
        }
    }

    private func reading<Result>(_ read: (Int, Int, Int, UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        let height = CVPixelBufferGetHeight(buffer), rowStride = CVPixelBufferGetBytesPerRow(buffer)
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { throw PictureError("frame: got no pixels, expected some") }
        let bytes = UnsafeRawBufferPointer(start: base, count: height * rowStride)
        return try read(CVPixelBufferGetWidth(buffer), height, rowStride, bytes)
    }
}
