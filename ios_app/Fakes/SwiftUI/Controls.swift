import CoreGraphics
import Foundation

public enum HorizontalAlignment: Sendable { case leading, center, trailing }
public enum VerticalAlignment: Sendable { case top, center, bottom }
public enum Alignment: Sendable { case center, leading, trailing, top, bottom }
public enum TextAlignment: Sendable { case leading, center, trailing }
public struct UnitPoint: Sendable { public static let bottom = UnitPoint() }
public enum Axis: Sendable {
    case horizontal, vertical
    public struct Set: OptionSet, Sendable {
        public static let horizontal = Set(rawValue: 1)
        public static let vertical = Set(rawValue: 2)
        public let rawValue: Int8
        public init(rawValue: Int8) { self.rawValue = rawValue }
    }
}
public struct Edge: Sendable {
    public struct Set: OptionSet, Sendable {
        public static let bottom = Set(rawValue: 1)
        public static let top = Set(rawValue: 8)
        public static let leading = Set(rawValue: 16)
        public static let vertical = Set(rawValue: 9)
        public static let horizontal = Set(rawValue: 2)
        public static let all = Set(rawValue: 4)
        public let rawValue: Int8
        public init(rawValue: Int8) { self.rawValue = rawValue }
    }
}
public struct EdgeInsets: Sendable {
    public var top: CGFloat { 0 }
    public var leading: CGFloat { 0 }
    public var bottom: CGFloat { 0 }
    public var trailing: CGFloat { 0 }
}
public struct Font: Sendable {
    public static let title = Font(), title2 = Font(), title3 = Font(), headline = Font(), subheadline = Font(), footnote = Font()
    public static func system(size: CGFloat) -> Font { Font() }
}

public protocol ShapeStyle: Sendable {}
extension ShapeStyle { public func opacity(_ opacity: Double) -> some ShapeStyle { self } }
public struct Material: ShapeStyle {}
extension ShapeStyle where Self == Material {
    public static var ultraThinMaterial: Material { .init() }
    public static var regularMaterial: Material { .init() }
}
public struct HierarchicalShapeStyle: ShapeStyle {}
public struct TintShapeStyle: ShapeStyle {}
extension ShapeStyle where Self == HierarchicalShapeStyle { public static var secondary: HierarchicalShapeStyle { .init() } }
extension ShapeStyle where Self == TintShapeStyle { public static var tint: TintShapeStyle { .init() } }
extension ShapeStyle where Self == Color {
    public static var white: Color { .init("") }
    public static var red: Color { .init("") }
    public static var yellow: Color { .init("") }
    public static var black: Color { .init("") }
}
public struct Color: ShapeStyle, SystemView {
    public nonisolated init(_ name: String, bundle: Bundle? = nil) {}
    public static let black = Color(""), white = Color(""), clear = Color(""), primary = Color(""), secondary = Color("")
    public nonisolated func opacity(_ opacity: Double) -> Color { self }
}
public protocol Shape: Sendable, View {}
public protocol InsettableShape: Shape {}
extension Shape { public func fill<S: ShapeStyle>(_ content: S) -> some View { self } }
extension InsettableShape {
    public func strokeBorder<S: ShapeStyle>(_ content: S, lineWidth: CGFloat = 1) -> some View { self }
}
public struct Circle: InsettableShape, SystemView { public nonisolated init() {} }
public struct Capsule: InsettableShape, SystemView { public nonisolated init() {} }
public struct Rectangle: InsettableShape, SystemView { public nonisolated init() {} }
public struct RoundedRectangle: InsettableShape, SystemView {
    public nonisolated init(cornerRadius: CGFloat) {}
}

public struct Text: SystemView {
    public nonisolated init(verbatim content: String) {}
    public nonisolated init<S: StringProtocol>(_ content: S) {}
}
public struct Image: SystemView {
    public nonisolated init(systemName: String) {}
    public nonisolated init(_ cgImage: CGImage, scale: CGFloat, label: Text) {}
    public nonisolated func resizable() -> Image { self }
}
public struct ButtonRole: Sendable { public static let destructive = ButtonRole(), cancel = ButtonRole() }
public struct Button<Label: View>: SystemView {
    public init(action: @escaping @MainActor () -> Void, @ViewBuilder label: () -> Label) {}
}
extension Button where Label == Text {
    public init<S: StringProtocol>(_ title: S, action: @escaping @MainActor () -> Void) {}
    public init<S: StringProtocol>(_ title: S, role: ButtonRole?, action: @escaping @MainActor () -> Void) {}
}
public struct ProgressView<Label: View>: SystemView {}
extension ProgressView where Label == EmptyView {
    public nonisolated init() {}
    public nonisolated init<V: BinaryFloatingPoint>(value: V?, total: V = 1.0) {}
}
public struct Toggle<Label: View>: SystemView {}
extension Toggle where Label == Text {
    public init<S: StringProtocol>(_ title: S, isOn: Binding<Bool>) {}
}
public struct Picker<Label: View, Selection: Hashable, Content: View>: SystemView {}
extension Picker where Label == Text {
    public init<S: StringProtocol>(_ title: S, selection: Binding<Selection>, @ViewBuilder content: () -> Content) {}
}
public struct DisclosureGroup<Label: View, Content: View>: SystemView {}
extension DisclosureGroup where Label == Text {
    public init<S: StringProtocol>(_ label: S, isExpanded: Binding<Bool>, @ViewBuilder content: @escaping () -> Content) {}
}
public protocol Transferable {}
extension String: Transferable {}
public struct ShareLink<Label: View>: SystemView {
    public init<I: Transferable>(
        item: I, subject: Text? = nil, message: Text? = nil, @ViewBuilder label: () -> Label
    ) {}
}
public struct Spacer: SystemView { public nonisolated init(minLength: CGFloat? = nil) {} }
public struct TextField<Label: View>: SystemView {}
extension TextField where Label == Text {
    public init<S: StringProtocol>(_ title: S, text: Binding<String>) {}
    public init<S: StringProtocol>(_ title: S, text: Binding<String>, axis: Axis) {}
}
public struct TextEditor: SystemView {
    public init(text: Binding<String>) {}
}
public struct Menu<Label: View, Content: View>: SystemView {
    public init(@ViewBuilder content: () -> Content, @ViewBuilder label: () -> Label) {}
}

// MARK: - arrangement

public struct Group<Content: View>: SystemView { public init(@ViewBuilder content: () -> Content) {} }
public struct VStack<Content: View>: SystemView {
    public init(alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content) {}
}
public struct HStack<Content: View>: SystemView {
    public init(alignment: VerticalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content) {}
}
public struct ZStack<Content: View>: SystemView {
    public init(alignment: Alignment = .center, @ViewBuilder content: () -> Content) {}
}
public protocol Layout: Sendable {}
public struct HStackLayout: Layout { public init(alignment: VerticalAlignment = .center, spacing: CGFloat? = nil) {} }
public struct VStackLayout: Layout { public init(alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil) {} }
public struct AnyLayout: Layout {
    public init<L: Layout>(_ layout: L) {}
    @MainActor public func callAsFunction<V: View>(@ViewBuilder _ content: () -> V) -> some View { content() }
}
public struct ScrollView<Content: View>: SystemView {
    public init(_ axes: Axis.Set = .vertical, showsIndicators: Bool = true, @ViewBuilder content: () -> Content) {}
}
public struct ViewThatFits<Content: View>: SystemView {
    public init(in axes: Axis.Set = [.horizontal, .vertical], @ViewBuilder content: () -> Content) {}
}
@MainActor @preconcurrency public struct ScrollViewProxy {
    public func scrollTo<ID: Hashable>(_ id: ID, anchor: UnitPoint? = nil) {}
}
public struct ScrollViewReader<Content: View>: SystemView {
    public init(@ViewBuilder content: @escaping (ScrollViewProxy) -> Content) {}
}
public struct GeometryProxy {
    public var size: CGSize { .zero }
    public var safeAreaInsets: EdgeInsets { EdgeInsets() }
}
public struct GeometryReader<Content: View>: SystemView {
    public init(@ViewBuilder content: @escaping (GeometryProxy) -> Content) {}
}
public struct ForEach<Data: RandomAccessCollection, ID: Hashable, Content: View>: SystemView {
    public init(_ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> Content) {}
}
extension ForEach where Data.Element: Identifiable, ID == Data.Element.ID {
    public init(_ data: Data, @ViewBuilder content: @escaping (Data.Element) -> Content) {}
}
public struct List<Content: View>: SystemView { public init(@ViewBuilder content: () -> Content) {} }
public struct Form<Content: View>: SystemView { public init(@ViewBuilder content: () -> Content) {} }
public struct Section<Parent, Content: View>: SystemView {}
extension Section where Parent == EmptyView { public init(@ViewBuilder content: () -> Content) {} }
extension Section where Parent == Text {
    public init<S: StringProtocol>(_ title: S, @ViewBuilder content: () -> Content) {}
}
public struct NavigationStack<Data, Root: View>: SystemView {
    public init(path: Binding<Data>, @ViewBuilder root: () -> Root)
    where Data: MutableCollection & RandomAccessCollection & RangeReplaceableCollection, Data.Element: Hashable {}
}
public protocol TimelineSchedule {}
public struct PeriodicTimelineSchedule: TimelineSchedule {}
extension TimelineSchedule where Self == PeriodicTimelineSchedule {
    public static func periodic(from startDate: Date, by interval: TimeInterval) -> PeriodicTimelineSchedule { .init() }
}
public struct TimelineViewContext {}
public struct TimelineView<Schedule: TimelineSchedule, Content: View>: SystemView {
    public init(_ schedule: Schedule, @ViewBuilder content: @escaping (TimelineViewContext) -> Content) {}
}
public enum ToolbarItemPlacement: Sendable { case topBarLeading, topBarTrailing }
public struct ToolbarItem<Content: View>: SystemView {
    public init(placement: ToolbarItemPlacement, @ViewBuilder content: () -> Content) {}
}
