import Foundation
import MobileVLMCore

extension Thermal {
    /// The longest pause, so that the app still answers.
    private static let longest = Duration.seconds(2)

    /// How long to pause after `worked`: as long as the work in serious heat, three times as long in critical heat. Otherwise the
    /// system would throttle the whole phone, the camera first.
    public func cooldown(after worked: Duration) -> Duration {
        switch self {
        case .nominal, .fair: .zero
        case .serious: min(worked, Self.longest)
        case .critical: min(worked * 3, Self.longest)
        }
    }

    /// The cooldown for the phone's current thermal state; none if the system doesn't report it.
    @Sendable public static func cooldownNow(after worked: Duration) -> Duration {
        #if canImport(Darwin)
            Thermal(ProcessInfo.processInfo.thermalState).cooldown(after: worked)
        #else
            Thermal.nominal.cooldown(after: worked)
        #endif
    }
}
