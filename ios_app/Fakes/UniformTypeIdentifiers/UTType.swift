public struct UTType: Sendable { public static var zip: UTType { UTType() } }
