// The parts of Apple's AVFoundation and CoreMedia that the app uses, with Apple's declarations, so that it is type-checked on Linux.

@_exported import CoreVideo
@_exported import Dispatch
@_exported import Foundation
import UIKit

public let kCVPixelBufferPixelFormatTypeKey: String = "PixelFormatType"

public struct CMVideoDimensions: Sendable {
    public var width: Int32
    public var height: Int32
}
public class CMFormatDescription {}
public func CMFormatDescriptionGetMediaSubType(_ description: CMFormatDescription) -> UInt32 { 0 }
public let kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange: UInt32 = 0x3432_3076
public let kCVPixelFormatType_420YpCbCr8BiPlanarFullRange: UInt32 = 0x3432_3066
public func CMVideoFormatDescriptionGetDimensions(_ description: CMFormatDescription) -> CMVideoDimensions { fatalError() }
public struct CMTime: Sendable {}
public class CMSampleBuffer {}
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVPixelBuffer? { nil }

public struct AVMediaType: Sendable { public static let video = AVMediaType() }
public enum AVAuthorizationStatus: Int, Sendable { case notDetermined, restricted, denied, authorized }

open class AVCaptureDevice: NSObject {
    public struct DeviceType: Sendable, Equatable {
        public static let builtInWideAngleCamera = DeviceType(), builtInUltraWideCamera = DeviceType()
        public static let builtInTripleCamera = DeviceType(), builtInDualWideCamera = DeviceType()
    }
    public enum TorchMode: Int, Sendable { case off, on, auto }
    public enum FocusMode: Int, Sendable { case locked, autoFocus, continuousAutoFocus }
    public enum ExposureMode: Int, Sendable { case locked, autoExpose, continuousAutoExposure, custom }
    public enum Position: Int, Sendable { case unspecified, back, front }
    open class Format: NSObject {
        public var formatDescription: CMFormatDescription { fatalError() }
    }
    open class RotationCoordinator: NSObject {
        public init(device: AVCaptureDevice, previewLayer: CALayer?) {}
        public var videoRotationAngleForHorizonLevelPreview: CGFloat { 0 }
        public var videoRotationAngleForHorizonLevelCapture: CGFloat { 0 }
    }
    open class func `default`(_ type: DeviceType, for media: AVMediaType?, position: Position) -> AVCaptureDevice? { nil }
    open class func `default`(for media: AVMediaType) -> AVCaptureDevice? { nil }
    open class func authorizationStatus(for media: AVMediaType) -> AVAuthorizationStatus { .notDetermined }
    open class func requestAccess(for media: AVMediaType) async -> Bool { false }
    public var formats: [Format] { [] }
    public var activeFormat: Format {
        get { fatalError() }
        set {}
    }
    public var deviceType: DeviceType { .builtInWideAngleCamera }
    public var constituentDevices: [AVCaptureDevice] { [] }
    public var virtualDeviceSwitchOverVideoZoomFactors: [NSNumber] { [] }
    public var minAvailableVideoZoomFactor: CGFloat { 1 }
    public var maxAvailableVideoZoomFactor: CGFloat { 1 }
    public var videoZoomFactor: CGFloat {
        get { 1 }
        set {}
    }
    public var hasTorch: Bool { false }
    public func isTorchModeSupported(_ torchMode: TorchMode) -> Bool { false }
    public var torchMode: TorchMode {
        get { .off }
        set {}
    }
    public var isFocusPointOfInterestSupported: Bool { false }
    public func isFocusModeSupported(_ focusMode: FocusMode) -> Bool { false }
    public var focusPointOfInterest: CGPoint {
        get { .zero }
        set {}
    }
    public var focusMode: FocusMode {
        get { .locked }
        set {}
    }
    public var isExposurePointOfInterestSupported: Bool { false }
    public func isExposureModeSupported(_ exposureMode: ExposureMode) -> Bool { false }
    public var exposurePointOfInterest: CGPoint {
        get { .zero }
        set {}
    }
    public var exposureMode: ExposureMode {
        get { .locked }
        set {}
    }
    public var minExposureTargetBias: Float { 0 }
    public var maxExposureTargetBias: Float { 0 }
    public func setExposureTargetBias(_ bias: Float, completionHandler handler: (@Sendable (CMTime) -> Void)? = nil) {}
    public func lockForConfiguration() throws {}
    public func unlockForConfiguration() {}
}
open class AVCaptureInput: NSObject {}
open class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
    public var device: AVCaptureDevice { fatalError() }
}
open class AVCaptureOutput: NSObject {}
open class AVCaptureConnection: NSObject {
    public var videoRotationAngle: CGFloat {
        get { 0 }
        set {}
    }
    public func isVideoRotationAngleSupported(_ angle: CGFloat) -> Bool { false }
}
public protocol AVCaptureVideoDataOutputSampleBufferDelegate: NSObjectProtocol {
    func captureOutput(_ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection)
}
open class AVCaptureVideoDataOutput: AVCaptureOutput {
    public var videoSettings: [String: Any]! {
        get { nil }
        set {}
    }
    public var alwaysDiscardsLateVideoFrames: Bool {
        get { true }
        set {}
    }
    public func setSampleBufferDelegate(
        _ delegate: (any AVCaptureVideoDataOutputSampleBufferDelegate)?, queue: DispatchQueue?
    ) {}
}
public let AVCaptureSessionInterruptionReasonKey: String = "reason", AVCaptureSessionErrorKey: String = "error"
public struct AVError: Error {
    public struct Code: Sendable, Equatable { public static let mediaServicesWereReset = Code() }
    public var code: Code { Code() }
}
open class AVCaptureSession: NSObject {
    public struct Preset: Sendable {
        public static let vga640x480 = Preset(), inputPriority = Preset()
    }
    public enum InterruptionReason: Int, Sendable {
        case videoDeviceNotAvailableInBackground = 1
        case audioDeviceInUseByAnotherClient
        case videoDeviceInUseByAnotherClient
        case videoDeviceNotAvailableWithMultipleForegroundApps
        case videoDeviceNotAvailableDueToSystemPressure
    }
    open class var wasInterruptedNotification: NSNotification.Name { NSNotification.Name("interrupted") }
    open class var interruptionEndedNotification: NSNotification.Name { NSNotification.Name("ended") }
    open class var runtimeErrorNotification: NSNotification.Name { NSNotification.Name("error") }
    public var sessionPreset: Preset {
        get { Preset() }
        set {}
    }
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public func canAddInput(_ input: AVCaptureInput) -> Bool { false }
    public func canAddOutput(_ output: AVCaptureOutput) -> Bool { false }
    public func addInput(_ input: AVCaptureInput) {}
    public func removeInput(_ input: AVCaptureInput) {}
    public var isRunning: Bool { false }
    public func addOutput(_ output: AVCaptureOutput) {}
    public func startRunning() {}
    public func stopRunning() {}
}
public struct AVLayerVideoGravity: Sendable { public static let resizeAspectFill = AVLayerVideoGravity() }
open class AVCaptureVideoPreviewLayer: CALayer, @unchecked Sendable {
    public var session: AVCaptureSession? {
        get { nil }
        set {}
    }
    public var videoGravity: AVLayerVideoGravity {
        get { .resizeAspectFill }
        set {}
    }
    public var connection: AVCaptureConnection? { nil }
    public func captureDevicePointConverted(fromLayerPoint pointInLayer: CGPoint) -> CGPoint { .zero }
}

open class AVSpeechSynthesisVoice: NSObject { public init?(language: String?) {} }
open class AVSpeechUtterance: NSObject {
    public init(string: String) {}
    public var voice: AVSpeechSynthesisVoice? {
        get { nil }
        set {}
    }
}
open class AVAudioPlayer: NSObject {
    public init(data: Data) throws {}
    public var currentTime: TimeInterval {
        get { 0 }
        set {}
    }
    @discardableResult public func play() -> Bool { false }
}
open class AVAudioSession: NSObject {
    public struct Category: Sendable {
        public static let playback = Category()
        public static let ambient = Category()
    }
    public struct Mode: Sendable { public static let spokenAudio = Mode() }
    public struct CategoryOptions: OptionSet, Sendable {
        public static let duckOthers = CategoryOptions(rawValue: 2)
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
    }
    public struct SetActiveOptions: OptionSet, Sendable {
        public static let notifyOthersOnDeactivation = SetActiveOptions(rawValue: 1)
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
    }
    open class func sharedInstance() -> AVAudioSession { fatalError() }
    public func setCategory(_ category: Category) throws {}
    public func setCategory(_ category: Category, mode: Mode, options: CategoryOptions = []) throws {}
    public func setActive(_ active: Bool, options: SetActiveOptions = []) throws {}
}
public enum AVSpeechBoundary: Int, Sendable { case immediate, word }
open class AVSpeechSynthesizer: NSObject {
    public weak var delegate: (any AVSpeechSynthesizerDelegate)?
    public func speak(_ utterance: AVSpeechUtterance) {}
    @discardableResult public func stopSpeaking(at boundary: AVSpeechBoundary) -> Bool { false }
}
public protocol AVSpeechSynthesizerDelegate: NSObjectProtocol {
    func speechSynthesizer(_ synthesizer: AVSpeechSynthesizer, didFinish utterance: AVSpeechUtterance)
}

// Key-value observing, which Linux's Foundation lacks.

open class NSKeyValueObservation: NSObject {}
public struct NSKeyValueObservedChange<Value> {}
public struct NSKeyValueObservingOptions: OptionSet, Sendable {
    public static let initial = NSKeyValueObservingOptions(rawValue: 4)
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
}
extension AVCaptureDevice.RotationCoordinator {
    public func observe<Value>(
        _ keyPath: KeyPath<AVCaptureDevice.RotationCoordinator, Value>, options: NSKeyValueObservingOptions = [],
        changeHandler: @escaping @Sendable (AVCaptureDevice.RotationCoordinator, NSKeyValueObservedChange<Value>) -> Void
    ) -> NSKeyValueObservation { NSKeyValueObservation() }
}
