// The parts of Apple's AppIntents that the app uses, with Apple's declarations, so that it is type-checked on Linux.

@_exported import Foundation
import UniformTypeIdentifiers

/// From Apple's own Foundation.
public struct LocalizedStringResource: Sendable, ExpressibleByStringLiteral {
    public init(stringLiteral value: String) {}
}

public protocol IntentResult: Sendable {}
public struct EmptyResult: IntentResult {}
extension IntentResult where Self == EmptyResult { public static func result() -> EmptyResult { EmptyResult() } }

public protocol AppIntent: Sendable {
    associatedtype PerformResult: IntentResult
    static var title: LocalizedStringResource { get }
    static var openAppWhenRun: Bool { get }
    init()
    func perform() async throws -> PerformResult
}

public struct IntentFile: Sendable { public var data: Data { Data() } }
public enum InputConnectionBehavior: Sendable { case `default`, never, connectToPreviousIntentResult }
@propertyWrapper public final class IntentParameter<Value: Sendable>: Sendable {
    public init() {}
    public var wrappedValue: Value {
        get { fatalError() }
        set {}
    }
}
extension IntentParameter where Value == IntentFile {
    public convenience init(
        title: LocalizedStringResource, supportedContentTypes: [UTType],
        inputConnectionBehavior: InputConnectionBehavior = .default
    ) { self.init() }
}
extension AppIntent { public typealias Parameter = IntentParameter }

public struct AppShortcutPhraseToken: Sendable { public static let applicationName = AppShortcutPhraseToken() }
public struct AppShortcutPhrase<Intent: AppIntent>: ExpressibleByStringInterpolation {
    public struct StringInterpolation: StringInterpolationProtocol {
        public init(literalCapacity: Int, interpolationCount: Int) {}
        public mutating func appendLiteral(_ literal: String) {}
        public mutating func appendInterpolation(_ token: AppShortcutPhraseToken) {}
    }
    public init(stringLiteral value: String) {}
    public init(stringInterpolation: StringInterpolation) {}
}
public struct AppShortcut: Sendable {
    public init<Intent: AppIntent>(
        intent: Intent, phrases: [AppShortcutPhrase<Intent>], shortTitle: LocalizedStringResource, systemImageName: String
    ) {}
}
@resultBuilder public struct AppShortcutsBuilder {
    public static func buildBlock(_ shortcuts: AppShortcut...) -> [AppShortcut] { shortcuts }
}
public protocol AppShortcutsProvider {
    @AppShortcutsBuilder static var appShortcuts: [AppShortcut] { get }
}
