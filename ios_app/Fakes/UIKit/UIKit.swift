// The parts of Apple's UIKit that the app uses, with Apple's declarations, so that it is type-checked on Linux.

import Foundation
@_exported import CoreGraphics

open class CALayer: NSObject, @unchecked Sendable {}

@MainActor open class UIView {
    public init() {}
    open class var layerClass: AnyClass { CALayer.self }
    open var layer: CALayer { fatalError() }
    open func layoutSubviews() {}
}
@MainActor open class UIViewController {}
open class UIImage: NSObject { public init(cgImage: CGImage) {} }
open class UIPasteboard: NSObject {
    open class var general: UIPasteboard { fatalError() }
    open var string: String? {
        get { nil }
        set {}
    }
}
@MainActor open class UIActivity {}
@MainActor open class UIActivityViewController: UIViewController {
    public init(activityItems: [Any], applicationActivities: [UIActivity]?) {}
}
@MainActor open class UIApplication {
    public class var shared: UIApplication { fatalError() }
    public var isIdleTimerDisabled: Bool {
        get { false }
        set {}
    }
    public nonisolated class var didReceiveMemoryWarningNotification: NSNotification.Name { NSNotification.Name("") }
    public class var openSettingsURLString: String { "" }
}
@MainActor public enum UIAccessibility { public static var isVoiceOverRunning: Bool { false } }
@MainActor open class UIDevice {
    public class var current: UIDevice { fatalError() }
    public var systemVersion: String { "" }
}

// From Apple's own Foundation.

extension NotificationCenter {
    public final class Notifications: AsyncSequence, Sendable {
        public struct Iterator: AsyncIteratorProtocol {
            public mutating func next() async -> Notification? { nil }
        }
        public func makeAsyncIterator() -> Iterator { Iterator() }
    }
    public func notifications(named name: Notification.Name, object: AnyObject? = nil) -> Notifications { Notifications() }
}
