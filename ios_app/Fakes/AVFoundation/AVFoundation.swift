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
public func CMVideoFormatDescriptionGetDimensions(_ description: CMFormatDescription) -> CMVideoDimensions { fatalError() }
public class CMSampleBuffer {}
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVPixelBuffer? { nil }

public struct AVMediaType: Sendable { public static let video = AVMediaType() }
public enum AVAuthorizationStatus: Int, Sendable { case notDetermined, restricted, denied, authorized }

open class AVCaptureDevice: NSObject {
    public struct DeviceType: Sendable { public static let builtInWideAngleCamera = DeviceType() }
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
    public func lockForConfiguration() throws {}
    public func unlockForConfiguration() {}
}
open class AVCaptureInput: NSObject {}
open class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
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
public let AVCaptureSessionInterruptionReasonKey: String = ""
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
}

open class AVSpeechSynthesisVoice: NSObject { public init?(language: String?) {} }
open class AVSpeechUtterance: NSObject {
    public init(string: String) {}
    public var voice: AVSpeechSynthesisVoice? {
        get { nil }
        set {}
    }
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
