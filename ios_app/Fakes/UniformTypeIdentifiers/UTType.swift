public struct UTType: Sendable {
    public static var zip: UTType { UTType() }
    public static var image: UTType { UTType() }
    public static var jpeg: UTType { UTType() }
    public var identifier: String { "" }
}
