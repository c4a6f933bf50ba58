import Foundation

/// The phone's thermal state: `ProcessInfo.ThermalState`, which exists only on Apple's systems.
public enum Thermal: String, Sendable, Equatable, CaseIterable, Codable {
    case nominal, fair, serious, critical

    #if canImport(Darwin)
        /// From the system's value; unknown newer values count as the hottest.
        public init(_ state: ProcessInfo.ThermalState) {
            self =
                switch state {
                case .nominal: .nominal
                case .fair: .fair
                case .serious: .serious
                default: .critical
                }
        }
    #endif
}

/// The phone's current condition, read again for each frame.
public struct PhoneCondition: Sendable, Equatable {
    public var thermal: Thermal
    public var isLowPowerMode: Bool
    public var isInForeground: Bool

    public init(thermal: Thermal = .nominal, isLowPowerMode: Bool = false, isInForeground: Bool = true) {
        self.thermal = thermal
        self.isLowPowerMode = isLowPowerMode
        self.isInForeground = isInForeground
    }
}

/// What to do with a frame.
public enum LiveAction: Sendable, Equatable {
    /// Nothing: too early, or nothing new to see.
    case skip
    /// Describe this frame.
    case describe
    /// The scene has changed while it is being described: stop, and describe this frame.
    case replace
    /// The phone is too hot, or the app is in the background: stop the answer and ignore frames.
    case pause
}

/// Whether and how often live mode describes frames.
public enum LivePolicy {
    /// A scene that differs by more than this is a new one.
    public static let changed = 0.06

    /// How often in a row a changed scene may stop an answer. The next answer is finished, or a moving camera would never get one.
    public static let maxReplaced = 2

    /// The time to wait after each answer for a phone in `condition`; nil if live mode pauses.
    public static func cooldown(_ condition: PhoneCondition) -> Duration? {
        guard condition.isInForeground else { return nil }
        let warm: Duration
        switch condition.thermal {
        case .nominal: warm = .milliseconds(500)
        case .fair: warm = .seconds(2)
        case .serious: warm = .seconds(6)
        case .critical: return nil
        }
        return condition.isLowPowerMode ? max(warm, .seconds(4)) * 2 : warm
    }
}
