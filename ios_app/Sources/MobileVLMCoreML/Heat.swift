import Foundation

/// How hot the phone is, as `ProcessInfo.ThermalState` counts.
public enum Heat: Int, Sendable {
    case nominal, fair, serious, critical

    /// The longest rest, so that the app still answers.
    private static let longest = Duration.seconds(2)

    /// How hot it is now; nominal where the system doesn't tell.
    public static var now: Heat {
        #if canImport(Darwin)
            Heat(rawValue: ProcessInfo.processInfo.thermalState.rawValue) ?? .critical
        #else
            .nominal
        #endif
    }

    /// How long to rest after `worked`: as long as the work from serious heat on, three times as long in critical heat. Left to itself the
    /// system would slow the whole phone down, and the camera first.
    public func rest(after worked: Duration) -> Duration {
        switch self {
        case .nominal, .fair: .zero
        case .serious: min(worked, Self.longest)
        case .critical: min(worked * 3, Self.longest)
        }
    }

    /// `rest`, of how hot it is now.
    @Sendable public static func restNow(after worked: Duration) -> Duration { now.rest(after: worked) }
}
