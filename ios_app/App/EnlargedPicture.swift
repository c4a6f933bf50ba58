import CoreGraphics
import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The whole picture over the whole screen; a part can be chosen by dragging.
struct EnlargedPicture: View {
    let model: AppModel

    @Environment(\.dismiss) private var dismiss
    @State private var image: CGImage?
    @State private var corners: (first: CGPoint, last: CGPoint)?
    @State private var part: PartRect?

    var body: some View {
        ZStack {
            Color.black.ignoresSafeArea()
            VStack(spacing: 12) {
                HStack {
                    Button {
                        dismiss()
                    } label: {
                        Image(systemName: "xmark").frame(width: 44, height: 44)
                    }
                    .accessibilityLabel(localizedString("cancel"))
                    Spacer(minLength: 0)
                }
                picture
                Text(localizedString("drag_part")).font(.footnote).foregroundStyle(.white)
                HStack(spacing: 12) {
                    if model.isPart {
                        Button(localizedString("whole_picture")) { ask(nil) }.buttonStyle(.bordered)
                    }
                    Button(localizedString("ask_part")) { if let part { ask(part) } }
                        .buttonStyle(.borderedProminent)
                        .disabled(part == nil)
                }
            }
            .padding(12)
        }
        .task {
            if let whole = await model.wholePicture() { image = await Photos.shown(whole) }
        }
    }

    private var picture: some View {
        GeometryReader { room in
            ZStack {
                Color.black
                if let image {
                    Image(image, scale: 1, label: Text(localizedString("picture_label"))).resizable().scaledToFit()
                        .frame(maxWidth: .infinity, maxHeight: .infinity)
                        .gesture(drag(image, room.size))
                }
                if let corners {
                    let (first, last) = (corners.first, corners.last)
                    Rectangle().strokeBorder(.yellow, lineWidth: 2)
                        .frame(width: abs(last.x - first.x), height: abs(last.y - first.y))
                        .position(CGPoint(x: (first.x + last.x) / 2, y: (first.y + last.y) / 2))
                        .accessibilityHidden(true)
                }
            }
        }
    }

    private func drag(_ image: CGImage, _ room: CGSize) -> some Gesture {
        let size = Extent(width: Double(image.width), height: Double(image.height))
        return DragGesture(minimumDistance: 4).onChanged { drag in
            corners = (drag.startLocation, drag.location)
            part = PartRect.dragged(
                from: Extent(width: drag.startLocation.x, height: drag.startLocation.y),
                to: Extent(width: drag.location.x, height: drag.location.y),
                over: Extent(width: room.width, height: room.height), showing: size)
            if part == nil { corners = nil }
        }
    }

    private func ask(_ part: PartRect?) {
        Task {
            await model.askAbout(part)
            dismiss()
        }
    }
}
