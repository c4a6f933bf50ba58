public enum AccessibilityNotification {
    public struct Announcement {
        public init(_ value: String) {}
        public func post() {}
    }
}
