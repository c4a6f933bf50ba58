import Foundation
import MobileVLMCore

extension Thermal {
    /// The longest rest, so that the app still answers.
    private static let longest = Duration.seconds(2)

    /// How long to rest after `worked`: as long as the work from serious heat on, three times as long in critical heat. Left to itself the
    /// system would slow the whole phone down, and the camera first.
    public func cooldown(after worked: Duration) -> Duration {
        switch self {
        case .nominal, .fair: .zero
        case .serious: min(worked, Self.longest)
        case .critical: min(worked * 3, Self.longest)
        }
    }

    /// `rest`, of how warm the phone is now; none where the system doesn't tell.
    @Sendable public static func cooldownNow(after worked: Duration) -> Duration {
        #if canImport(Darwin)
            Thermal(ProcessInfo.processInfo.thermalState).cooldown(after: worked)
        #else
            Thermal.nominal.cooldown(after: worked)
        #endif
    }
}
