import CoreGraphics
import MobileVLMApp
import MobileVLMCore
import SwiftUI

/// The whole picture over the whole screen; a part can be chosen by dragging.
struct EnlargedPicture: View {
    let model: AppModel

    @Environment(\.dismiss) private var dismiss
    @State private var image: CGImage?
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
                    .accessibilityLabel(localizedString("close"))
                    Spacer(minLength: 0)
                }
                picture
                Text(localizedString("drag_part")).font(.footnote).foregroundStyle(.white)
                ViewThatFits(in: .horizontal) {
                    HStack(spacing: 12) { buttons }
                    VStack(spacing: 12) { buttons }
                }
            }
            .padding(12)
        }
        .task {
            if let whole = await model.wholePicture() { image = await Photos.shown(whole) }
        }
    }

    @ViewBuilder private var buttons: some View {
        if model.isPart {
            Button(localizedString("whole_picture")) { ask(nil) }.buttonStyle(.bordered)
        }
        Button(localizedString("ask_part")) { if let part { ask(part) } }
            .buttonStyle(.borderedProminent)
            .disabled(part == nil)
    }

    private var picture: some View {
        GeometryReader { room in
            ZStack {
                Color.black
                if let image {
                    Image(image, scale: 1, label: Text(localizedString("picture_label"))).resizable().scaledToFit()
                        .frame(maxWidth: .infinity, maxHeight: .infinity)
                        .gesture(drag(image, room.size))
                        .accessibilityHint(localizedString("part_actions"))
                        .accessibilityActions {
                            ForEach(NamedPart.allCases, id: \.self) { named in
                                Button(named.label.localized) {
                                    part = named.rect
                                    model.announce(named)
                                }
                            }
                        }
                    if let part { outline(of: part.shown(over: extent(room.size), showing: extent(image))) }
                }
            }
        }
    }

    private func outline(of part: (middle: Extent, size: Extent)) -> some View {
        Rectangle().strokeBorder(.yellow, lineWidth: 2)
            .frame(width: part.size.width, height: part.size.height)
            .position(CGPoint(x: part.middle.width, y: part.middle.height))
            .accessibilityHidden(true)
    }

    private func drag(_ image: CGImage, _ room: CGSize) -> some Gesture {
        DragGesture(minimumDistance: 4).onChanged { drag in
            part = PartRect.dragged(
                from: Extent(width: drag.startLocation.x, height: drag.startLocation.y),
                to: Extent(width: drag.location.x, height: drag.location.y), over: extent(room), showing: extent(image))
        }
    }

    private func extent(_ size: CGSize) -> Extent { Extent(width: size.width, height: size.height) }

    private func extent(_ image: CGImage) -> Extent { Extent(width: Double(image.width), height: Double(image.height)) }

    private func ask(_ part: PartRect?) {
        Task {
            await model.askAbout(part)
            dismiss()
        }
    }
}
