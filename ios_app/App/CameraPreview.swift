import AVFoundation
import MobileVLMApp
import SwiftUI
import UIKit

/// The camera preview, upright; it fills its place.
struct CameraPreview: UIViewRepresentable {
    let camera: PhoneCamera
    let side: CameraControls.Side
    let link: PreviewLink

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        view.preview.videoGravity = .resizeAspectFill
        view.preview.session = camera.session
        view.camera = camera
        link.view = view
        camera.onConnect { [weak view] in view?.turn() }
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {
        if let device = camera.device(side) { view.follow(device) }
    }
}

/// Translates points of the screen into the camera's own coordinates.
@MainActor
final class PreviewLink {
    fileprivate weak var view: PreviewView?

    func devicePoint(_ point: CGPoint) -> CGPoint? { view?.preview.captureDevicePointConverted(fromLayerPoint: point) }
}

/// A view whose layer is the camera's preview.
final class PreviewView: UIView {
    fileprivate weak var camera: PhoneCamera?
    private var device: AVCaptureDevice?
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var watching: NSKeyValueObservation?

    override static var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }

    var preview: AVCaptureVideoPreviewLayer { layer as! AVCaptureVideoPreviewLayer }

    override func layoutSubviews() {
        super.layoutSubviews()
        turn()
    }

    /// Rotates the preview of `device` with the screen.
    func follow(_ device: AVCaptureDevice) {
        if device === self.device { return }
        self.device = device
        let rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: preview)
        self.rotation = rotation
        watching = rotation.observe(\.videoRotationAngleForHorizonLevelPreview, options: .initial) { [weak self] _, _ in
            Task { @MainActor [weak self] in self?.turn() }
        }
    }

    fileprivate func turn() {
        guard let angle = rotation?.videoRotationAngleForHorizonLevelPreview else { return }
        camera?.preview(at: angle)
        guard let connection = preview.connection, connection.isVideoRotationAngleSupported(angle) else { return }
        connection.videoRotationAngle = angle
    }
}
