import CoreGraphics
import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The camera's picture: tap to focus, pinch to zoom, drag up or down for the exposure.
struct Viewfinder: View {
    let model: AppModel
    let camera: PhoneCamera

    @State private var link = PreviewLink()
    @State private var tapped: CGPoint?
    @State private var zoomed: Start?
    @State private var exposed: Start?
    @GestureState private var isPinching = false

    /// What a gesture began with. One that is cancelled has no end, so another place tells that another began.
    private struct Start {
        let place: CGPoint
        let value: Double
    }

    var body: some View {
        GeometryReader { room in
            ZStack {
                Color.black
                if model.camera == .open {
                    CameraPreview(camera: camera, side: model.controls.side, link: link)
                        .gesture(tap.simultaneously(with: pinch).simultaneously(with: drag(room.size.height)))
                        .accessibilityElement()
                        .accessibilityAddTraits(.isImage)
                        .accessibilityLabel(localizedString("preview_label"))
                        .accessibilityValue("\(model.controls.zoom.formatted(.number.precision(.fractionLength(0...1)))) ×")
                        .accessibilityAdjustableAction { direction in
                            model.zoom(from: model.controls.zoom, by: direction == .increment ? 1.5 : 1 / 1.5)
                        }
                }
                if let tapped {
                    RoundedRectangle(cornerRadius: 8).strokeBorder(.yellow, lineWidth: 2)
                        .frame(width: 72, height: 72)
                        .position(tapped)
                        .accessibilityHidden(true)
                }
            }
            .onChange(of: room.size, initial: true) {
                model.viewfinder = Extent(width: room.size.width, height: room.size.height)
            }
        }
        .task(id: model.controls.focus) {
            try? await Task.sleep(for: .seconds(1))
            tapped = nil
        }
    }

    private var tap: some Gesture {
        SpatialTapGesture().onEnded { tap in
            guard let point = link.devicePoint(tap.location) else { return }
            tapped = tap.location
            model.focus(at: Extent(width: point.x, height: point.y))
        }
    }

    private var pinch: some Gesture {
        MagnifyGesture()
            .updating($isPinching) { _, isPinching, _ in isPinching = true }
            .onChanged { pinch in
                let from = start(of: pinch.startLocation, zoomed, model.controls.zoom)
                zoomed = from
                model.zoom(from: from.value, by: pinch.magnification)
            }
    }

    private func drag(_ height: Double) -> some Gesture {
        DragGesture(minimumDistance: 20)
            .onChanged { drag in
                if isPinching { return }  // its first finger
                let from = start(of: drag.startLocation, exposed, model.controls.exposure)
                exposed = from
                model.expose(from: from.value, by: -drag.translation.height / max(height, 1))
            }
    }

    private func start(of place: CGPoint, _ known: Start?, _ value: Double) -> Start {
        if let known, known.place == place { return known }
        return Start(place: place, value: value)
    }
}
