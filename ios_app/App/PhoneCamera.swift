import AVFoundation
import MobileVLMApp
import MobileVLMCore

/// The phone's cameras. The newest frame wins; a slow reader misses frames.
///
/// `queue` guards all mutable state.
final class PhoneCamera: NSObject, Camera, @unchecked Sendable {
    let session = AVCaptureSession()

    private let back: AVCaptureDevice?
    private let front: AVCaptureDevice?
    private let queue = DispatchQueue(label: "camera")
    private let output = AVCaptureVideoDataOutput()
    private var input: AVCaptureDeviceInput?
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var controls = CameraControls()
    private var previewAngle: CGFloat?
    private var connected: (@MainActor @Sendable () -> Void)?
    private var watching = [any NSObjectProtocol]()
    private var reader: AsyncThrowingStream<CameraEvent, any Error>.Continuation?
    private var opening = 0  // counts openings, so that the end of an old one doesn't close a newer one

    override init() {
        // Those made of several cameras change to the one that can focus on near text.
        let types: [AVCaptureDevice.DeviceType] = [.builtInTripleCamera, .builtInDualWideCamera, .builtInWideAngleCamera]
        let found = types.lazy.compactMap { AVCaptureDevice.default($0, for: .video, position: .back) }.first
        back = found ?? AVCaptureDevice.default(for: .video)
        front = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .front)
    }

    func device(_ side: CameraControls.Side) -> AVCaptureDevice? { side == .front ? front : back }

    func abilities(_ side: CameraControls.Side) -> CameraAbilities {
        let device = device(side)
        let widest = device.map { $0.maxAvailableVideoZoomFactor / Self.normalZoom($0) } ?? 1
        return CameraAbilities(
            canSwitch: back != nil && front != nil, hasTorch: device?.hasTorch == true, maxZoom: min(Double(widest), 8))
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

    func events() -> AsyncThrowingStream<CameraEvent, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { reader in
            queue.async { self.open(reader) }
        }
    }

    func apply(_ controls: CameraControls) {
        queue.async {
            let isOther = controls.side != self.controls.side
            self.controls = controls
            guard self.reader != nil else { return }
            if isOther, (try? self.connect()) != nil { self.announceConnection() }
            self.adjust()
        }
    }

    /// The angle of the preview, which follows the screen; frames follow the phone.
    func preview(at angle: CGFloat) {
        queue.async { self.previewAngle = angle }
    }

    /// Calls `connected` whenever a camera is connected: its preview has yet to be turned.
    func onConnect(_ connected: @escaping @MainActor @Sendable () -> Void) {
        queue.async { self.connected = connected }
    }

    private func open(_ reader: AsyncThrowingStream<CameraEvent, any Error>.Continuation) {
        opening += 1
        let mine = opening
        reader.onTermination = { _ in self.queue.async { self.close(mine) } }
        do {
            try connect()
        } catch {
            reader.finish(throwing: error)
            return
        }
        self.reader = reader
        watch()
        session.startRunning()
        announceConnection()
        adjust()
    }

    private func announceConnection() {
        guard let connected else { return }
        Task { @MainActor in connected() }
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

    /// Connects the chosen camera, if it isn't yet.
    private func connect() throws(CameraProblem) {
        guard let device = device(controls.side) ?? back else { throw .noCamera }
        if input?.device === device { return }
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        guard let next = try? AVCaptureDeviceInput(device: device) else { throw .failed }
        if let input { session.removeInput(input) } else { try addOutput() }
        input = nil
        guard session.canAddInput(next) else { throw .failed }
        session.addInput(next)
        input = next
        choose(device)
        rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)
    }

    private func addOutput() throws(CameraProblem) {
        guard session.canAddOutput(output) else { throw .failed }
        // BGRA: a picture's format with the bytes swapped.
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(self, queue: queue)
        session.addOutput(output)
    }

    /// The model uses a few hundred pixels; the largest 4:3 size up to 1280 × 960 is plenty.
    private func choose(_ device: AVCaptureDevice) {
        let fitting = device.formats.filter { format in
            let size = CMVideoFormatDescriptionGetDimensions(format.formatDescription)
            // With more than 8 bits there may be no frames of 8, and other colors.
            let is8Bit = [kCVPixelFormatType_420YpCbCr8BiPlanarFullRange, kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange]
                .contains(CMFormatDescriptionGetMediaSubType(format.formatDescription))
            return is8Bit && size.width * 3 == size.height * 4 && size.width <= 1280
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

    /// The zoom of the normal view: a camera with an ultra-wide one among its parts begins at that one's.
    private static func normalZoom(_ device: AVCaptureDevice) -> CGFloat {
        guard device.constituentDevices.first?.deviceType == .builtInUltraWideCamera else { return 1 }
        return device.virtualDeviceSwitchOverVideoZoomFactors.first.map { CGFloat($0.doubleValue) } ?? 1
    }

    private func adjust() {
        guard let device = input?.device, (try? device.lockForConfiguration()) != nil else { return }
        defer { device.unlockForConfiguration() }
        let zoom = Self.normalZoom(device) * CGFloat(controls.zoom)
        device.videoZoomFactor = min(max(zoom, device.minAvailableVideoZoomFactor), device.maxAvailableVideoZoomFactor)
        let torch: AVCaptureDevice.TorchMode = controls.isTorchOn ? .on : .off
        if device.hasTorch, device.isTorchModeSupported(torch), device.torchMode != torch { device.torchMode = torch }
        let point = controls.focus.map { CGPoint(x: $0.width, y: $0.height) } ?? CGPoint(x: 0.5, y: 0.5)
        if device.isFocusPointOfInterestSupported, device.isFocusModeSupported(.continuousAutoFocus) {
            device.focusPointOfInterest = point
            device.focusMode = .continuousAutoFocus
        }
        if device.isExposurePointOfInterestSupported, device.isExposureModeSupported(.continuousAutoExposure) {
            device.exposurePointOfInterest = point
            device.exposureMode = .continuousAutoExposure
        }
        // Two stops each way are plenty.
        let bias = Float(controls.exposure) * 2
        device.setExposureTargetBias(min(max(bias, device.minExposureTargetBias), device.maxExposureTargetBias))
    }

    /// An interrupted session continues by itself when the interruption ends, if it was running.
    private func watch() {
        let center = NotificationCenter.default
        watching = [
            center.addObserver(forName: AVCaptureSession.wasInterruptedNotification, object: session, queue: nil) {
                [weak self] note in
                let number = note.userInfo?[AVCaptureSessionInterruptionReasonKey] as? Int
                let problem: CameraProblem? =
                    switch number.flatMap(AVCaptureSession.InterruptionReason.init(rawValue:)) {
                    // The app goes to the background and closes the camera itself.
                    case .videoDeviceNotAvailableInBackground: nil
                    case .videoDeviceInUseByAnotherClient, .videoDeviceNotAvailableWithMultipleForegroundApps: .inUse
                    case .videoDeviceNotAvailableDueToSystemPressure: .tooHot
                    default: .failed
                    }
                if let self, let problem { queue.async { self.reader?.yield(.interrupted(problem)) } }
            },
            center.addObserver(forName: AVCaptureSession.interruptionEndedNotification, object: session, queue: nil) {
                [weak self] _ in
                self?.restart()
            },
            center.addObserver(forName: AVCaptureSession.runtimeErrorNotification, object: session, queue: nil) {
                [weak self] note in
                let isReset = (note.userInfo?[AVCaptureSessionErrorKey] as? AVError)?.code == .mediaServicesWereReset
                if isReset { self?.restart() } else { self?.fail(.failed) }
            },
        ]
    }

    private func restart() {
        queue.async { if self.reader != nil, !self.session.isRunning { self.session.startRunning() } }
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
        let turn = previewAngle.map { abs($0 - connection.videoRotationAngle).truncatingRemainder(dividingBy: 180) } ?? 0
        reader?.yield(.frame(CapturedPixels(buffer: buffer).frame(isTurned: turn == 90)))
    }
}

/// A frame's pixels: blue, green, red and an unused byte; read-only.
private struct CapturedPixels: @unchecked Sendable {
    let buffer: CVPixelBuffer

    func frame(isTurned: Bool) -> Frame {
        Frame(
            width: CVPixelBufferGetWidth(buffer), height: CVPixelBufferGetHeight(buffer), isTurned: isTurned, sketch: sketch,
            picture: picture)
    }

    /// Green serves as brightness.
    private func sketch(_ rect: PixelRect) throws -> FrameSketch {
        try reading { rowStride, bytes in
            try FrameSketch(
                width: rect.width, height: rect.height, rowStride: rowStride, pixelStride: 4,
                luma: UnsafeRawBufferPointer(rebasing: bytes[(rect.y * rowStride + 4 * rect.x + 1)...]))
        }
    }

    private func picture(_ rect: PixelRect) throws -> Picture {
        try reading { rowStride, bytes in
            let pixels = [UInt32](unsafeUninitializedCapacity: rect.width * rect.height) { room, count in
                let into = UnsafeMutableRawBufferPointer(room), width = 4 * rect.width
                for row in 0..<rect.height {
                    let from = (rect.y + row) * rowStride + 4 * rect.x
                    UnsafeMutableRawBufferPointer(rebasing: into[width * row..<width * (row + 1)])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[from..<from + width]))
                }
                count = rect.width * rect.height
            }
            return try Picture(width: rect.width, height: rect.height, pixels: pixels)
        }
    }

    private func reading<Result>(_ read: (Int, UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        let rowStride = CVPixelBufferGetBytesPerRow(buffer)
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { throw PictureError("frame: got no pixels, expected some") }
        return try read(rowStride, UnsafeRawBufferPointer(start: base, count: CVPixelBufferGetHeight(buffer) * rowStride))
    }
}
