import AVFoundation
import SwiftUI
import UIKit

/// The camera preview, upright.
struct CameraPreview: UIViewRepresentable {
    let camera: PhoneCamera

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        view.preview.videoGravity = .resizeAspectFill
        view.preview.session = camera.session
        if let device = camera.device { view.follow(device) }
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {}
}

/// A view whose layer is the camera's preview.
final class PreviewView: UIView {
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var watching: NSKeyValueObservation?

    override static var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }

    var preview: AVCaptureVideoPreviewLayer { layer as! AVCaptureVideoPreviewLayer }

    override func layoutSubviews() {
        super.layoutSubviews()
        turn()
    }

    /// Rotates the preview with the phone.
    func follow(_ device: AVCaptureDevice) {
        let rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: preview)
        self.rotation = rotation
        watching = rotation.observe(\.videoRotationAngleForHorizonLevelPreview, options: .initial) { [weak self] _, _ in
            Task { @MainActor [weak self] in self?.turn() }
        }
    }

    private func turn() {
        guard let angle = rotation?.videoRotationAngleForHorizonLevelPreview, let connection = preview.connection,
            connection.isVideoRotationAngleSupported(angle)
        else { return }
        connection.videoRotationAngle = angle
    }
}
