import Foundation

/// How warm the phone is: `ProcessInfo.ThermalState`, which only Apple's systems have.
public enum Thermal: String, Sendable, Equatable, CaseIterable, Codable {
    case nominal, fair, serious, critical

    #if canImport(Darwin)
        /// The system's own word for it; one that is newer than this app is taken for the warmest.
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

/// What the phone allows: read anew for each frame.
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
    /// The phone is too hot, or the app isn't seen: stop what runs, and look at nothing.
    case pause
}

/// Whether and how often live mode looks.
public enum LivePolicy {
    /// A scene this unlike the one described is another one.
    public static let changed = 0.06

    /// So many times in a row a changed scene may stop an answer; then one is finished, or a moving camera would never say anything.
    public static let maxReplaced = 2

    /// The rest after each answer for a phone in `condition`; nil: live mode pauses.
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
