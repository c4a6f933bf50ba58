import Foundation
import XCTest

@testable import MobileVLMApp
@testable import MobileVLMCore
@testable import MobileVLMCoreTests

/// A camera that delivers frames painted by the test.
final class FakeCamera: Camera, Sendable {
    private struct State {
        var permission = CameraPermission.allowed
        var answer = true
        var reader: AsyncThrowingStream<(Int, CameraEvent), any Error>.Continuation?
        var abilities = CameraAbilities(canSwitch: true, hasTorch: true, maxZoom: 5)
        var controls = CameraControls()
        var opened = 0
        var sent = 0
        var received = 0
        var isAwaited = false
    }

    private let state = LockedValue(State())

    var permission: CameraPermission { state.withLock { $0.permission } }
    var opened: Int { state.withLock { $0.opened } }
    var isOpen: Bool { state.withLock { $0.reader != nil } }

    var controls: CameraControls { state.withLock { $0.controls } }

    func abilities(_ side: CameraControls.Side) -> CameraAbilities { state.withLock { $0.abilities } }

    func apply(_ controls: CameraControls) { state.withLock { $0.controls = controls } }

    func askPermission() async -> Bool {
        state.withLock { state in
            state.permission = state.answer ? .allowed : .denied
            return state.answer
        }
    }

    /// Whether the app has processed every frame.
    var isIdle: Bool { state.withLock { $0.isAwaited && $0.received == $0.sent } }

    func events() -> AsyncThrowingStream<CameraEvent, any Error> {
        let (numbered, reader) = AsyncThrowingStream.makeStream(of: (Int, CameraEvent).self, bufferingPolicy: .bufferingNewest(1))
        let mine = state.withLock { state in
            state.reader = reader
            state.opened += 1
            return state.opened
        }
        // It may arrive when the camera is open again.
        reader.onTermination = { _ in self.state.withLock { if $0.opened == mine { $0.reader = nil } } }
        return AsyncThrowingStream {
            self.state.withLock { $0.isAwaited = true }
            for try await (number, event) in numbered {
                self.state.withLock { state in
                    state.received = number
                    state.isAwaited = false
                }
                return event
            }
            return nil
        }
    }

    /// The user hasn't been asked yet and will reply `answer`.
    func asks(_ answer: Bool) {
        state.withLock { state in
            state.permission = .undecided
            state.answer = answer
        }
    }

    /// Delivers a frame of 64 columns that is bright left of `edge`.
    func frame(_ edge: Int) {
        let levels = (0..<64 * 48).map { UInt8($0 % 64 < edge ? 220 : 60) }
        let frame = Frame(width: 64, height: 48) { rect in
            try levels.withUnsafeBytes { bytes in
                try FrameSketch(
                    width: rect.width, height: rect.height, rowStride: 64,
                    luma: UnsafeRawBufferPointer(rebasing: bytes[(64 * rect.y + rect.x)...]))
            }
        } picture: { rect in
            try Picture(width: 64, height: 48, pixels: levels.map { UInt32($0) * 0x10101 }).cropped(to: rect)
        }
        send(.frame(frame))
    }

    func interrupt(_ problem: CameraProblem) { send(.interrupted(problem)) }

    private func send(_ event: CameraEvent) {
        state.withLock { state in
            guard let reader = state.reader else { return }
            state.sent += 1
            reader.yield((state.sent, event))
        }
    }

    func fail(_ problem: CameraProblem) {
        state.withLock { $0.reader }?.finish(throwing: problem)
    }
}

/// Voices that only record what they would say.
@MainActor
final class FakeSpeaker: Speaker {
    private(set) var spoken = [String]()
    private(set) var stops = 0
    private(set) var ended: (@MainActor @Sendable () -> Void)?
    var hasVoice = true

    func speak(_ text: String, in language: String, ended: @escaping @MainActor @Sendable () -> Void) -> Bool {
        spoken.append("\(language): \(text)")
        self.ended = ended
        return hasVoice
    }

    func stop() { stops += 1 }
}

/// The app's model with fakes, in its own folder.
@MainActor
final class AppFixture {
    struct Facts {
        var memory = Int64.max
        var thermal = Thermal.nominal
        var isLowPower = false
        var hasVoiceOver = false
        var clock = Duration.seconds(100)
        var engines: Int { units.count }
        var keptFromBackup = Set<String>()
        var there = Set<String>()
        var units = [CoreMLSpec.ComputeUnits?]()
        var beforeImport: @Sendable () -> Void = {}
        var afterImport: @Sendable () -> Void = {}
        var beforeClock: @Sendable () -> Void = {}
    }

    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    let camera = FakeCamera()
    let engine = ScriptedEngine()
    let speaker = FakeSpeaker()
    let facts = Shared(Facts())
    let announced = Shared([[LocalizedText]]())
    let played = Shared([Earcon]())
    private(set) lazy var model = AppModel(dependencies())

    init() throws {
        try FileManager.default.createDirectory(at: bundles, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    var bundles: URL { folder.appending(path: "bundles") }
    var mark: URL { folder.appending(path: "engine-runs") }

    /// A zipped bundle packed into the app.
    var packed: URL?

    func dependencies() -> Dependencies {
        Dependencies(
            bundles: bundles, settings: .file(folder.appending(path: "settings.json")),
            crashGuard: CrashGuard(mark), cache: folder.appending(path: "cache"),
            conversations: folder.appending(path: "conversations"), packed: packed,
            captures: folder.appending(path: "captures"),
            phone: Phone(
                availableMemory: { [facts] in facts.value.memory }, thermal: { [facts] in facts.value.thermal },
                isLowPower: { [facts] in facts.value.isLowPower }, peakBytes: { 7_000_000 }, describe: { ["model": "a test's"] }),
            camera: camera,
            openEngine: { [engine, facts] _, _, units, foreground in
                facts.change { $0.units.append(units) }
                return try await foreground.guarding { engine }
            },
            // A byte is a picture of 2 × 2, and of 4 × 4 for a part of it.
            decodePhoto: { bytes, backdrop, part in
                guard bytes.count == 1 else { throw PictureError("picture: got no pixels, expected a photo") }
                let side = part == nil ? 2 : 4
                let whole = try Picture(
                    width: side, height: side,
                    pixels: (0..<side * side).map { UInt32(bytes[0]) << 16 | UInt32($0) << 8 | backdrop & 0xFF })
                return try part.map { try whole.cropped(to: $0.pixels(width: side, height: side)) } ?? whole
            },
            encodePhoto: { picture in Data([UInt8(picture.pixels[0] >> 16 & 0xFF)]) },
            decodeExactly: { file in
                let shade = UInt32(try Data(contentsOf: file).first ?? 0)
                return try Picture(width: 4, height: 4, pixels: [UInt32](repeating: shade * 0x10101, count: 16))
            },
            openPickedFile: { [facts] file, read in
                facts.value.beforeImport()
                defer { facts.value.afterImport() }
                return try read(file)
            },
            keepFromBackup: { [facts] folder in facts.change { $0.keptFromBackup.insert(folder.lastPathComponent) } },
            sweep: { [facts] ids in facts.change { $0.there = ids } },
            speaker: speaker,
            hasVoiceOver: { [facts] in facts.value.hasVoiceOver },
            announce: { [announced] words in announced.change { $0.append(words) } },
            play: { [played] earcon in played.change { $0.append(earcon) } },
            now: { [facts] in
                facts.value.beforeClock()
                return facts.value.clock
            })
    }

    /// Copies a bundle to the app's folder, as a computer would.
    @discardableResult
    func put(_ name: String = "demo", _ bundle: TestBundle? = nil) throws -> StoredBundle {
        let zip = try zipped(name, bundle)
        return try BundleStore(bundles).add(zip)
    }

    func zipped(_ name: String = "demo", _ bundle: TestBundle? = nil) throws -> URL {
        let file = folder.appending(path: "\(name).mvlm.zip")
        try (bundle ?? TestBundle(largest: 1000)).zipped().write(to: file)
        return file
    }

    /// Starts the app, with a bundle if there is none.
    func start(_ bundle: TestBundle? = nil) async throws {
        if BundleStore(bundles).list().isEmpty { try put("demo", bundle) }
        model.enterForeground()
        await model.start()
        await model.settle()
    }

    /// Starts the app and takes a photo.
    func seen() async throws {
        try await start()
        try await take(20)
    }

    func take(_ edge: Int) async throws {
        try await eventually("the camera opens") { self.camera.isOpen }
        model.pressShutter()
        camera.frame(edge)
        try await eventually("the picture is taken") { self.model.picture != nil }
        await model.settle()
    }

    func says(_ text: String) async throws {
        await engine.says(try Tokenizer(PromptTests.demoTokenizer).encode(text))
    }

    func ask(_ question: String) async {
        let isAsked = await model.ask(question)
        XCTAssertTrue(isAsked, question)
        await model.settle()
    }
}

/// A value shared by closures.
final class Shared<Value: Sendable>: Sendable {
    private let held: LockedValue<Value>

    init(_ value: Value) { held = LockedValue(value) }

    var value: Value { held.withLock { $0 } }

    func change(_ change: @Sendable (inout Value) -> Void) { held.withLock { change(&$0) } }
}
