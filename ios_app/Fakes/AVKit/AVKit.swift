// The parts of Apple's AVKit that the app's views use, with Apple's declarations, so that they are type-checked on Linux.

import SwiftUI

public enum AVCaptureEventPhase: UInt, Sendable { case began, ended, cancelled }
@MainActor @preconcurrency public final class AVCaptureEvent { public var phase: AVCaptureEventPhase { .ended } }
extension View {
    public func onCameraCaptureEvent(isEnabled: Bool = true, action: @escaping (AVCaptureEvent) -> Void) -> some View { self }
}
