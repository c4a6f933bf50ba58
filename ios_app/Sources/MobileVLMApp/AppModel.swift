import Foundation
import MobileVLMCore
import Observation

/// Which screen is seen.
public enum Screen: Sendable {
    case welcome, chat, bundles, check, settings, about
}

/// The app's one state holder: what the user does goes in, and what is to be seen is read from it.
@Observable @MainActor
public final class AppModel {
    public let library: BundleLibrary
    public internal(set) var screen = Screen.chat { didSet { runCamera() } }
    public internal(set) var session = SessionState() { didSet { runCamera() } }
    /// The picture that is asked about.
    public internal(set) var picture: Picture? { didSet { runCamera() } }
    public internal(set) var isReadingPicture = false
    public internal(set) var pictureProblem: String?
    /// Another one for each picture.
    public internal(set) var pictureNumber = 0
    public internal(set) var camera = CameraState.off
    public internal(set) var live: LiveState?
    public internal(set) var check: CheckState?
    /// The app ended while the engine ran: nothing is loaded unasked.
    public internal(set) var hasCrashed: Bool
    /// The answer that is being spoken.
    public private(set) var speaking: String?
    /// The phone has no voice for the answer that was to be spoken.
    public var hasNoVoice = false
    public private(set) var settings: Settings
    /// The picture before this one, with what was said about it.
    var previous: (picture: Picture, turns: [ChatTurn])?

    @ObservationIgnored let dependencies: Dependencies
    @ObservationIgnored let vlm: VLMSession
    @ObservationIgnored let saved: SavedConversation
    @ObservationIgnored let requests = SerialQueue()
    @ObservationIgnored let saves = SerialQueue()
    @ObservationIgnored var pictureRequests = 0  // pictures asked for; one that comes late is dropped
    @ObservationIgnored var cameraTask: Task<Void, Never>?
    @ObservationIgnored var isShutterPressed = false
    @ObservationIgnored var liveSession: LiveSession?
    @ObservationIgnored var checks = 0  // counts those begun and those left: what an old one finds isn't a newer one's
    @ObservationIgnored var isInForeground = false { didSet { runCamera() } }
    @ObservationIgnored private var isToRestore = false
    @ObservationIgnored private var spoken = 0  // counts answers: an old one's end isn't a newer one's

    public init(_ dependencies: Dependencies) {
        self.dependencies = dependencies
        library = BundleLibrary(dependencies)
        saved = SavedConversation(dependencies.cache)
        settings = dependencies.settings.load()
        hasCrashed = dependencies.crashGuard.hasCrashed
        let loader = ModelLoader(availableMemory: dependencies.phone.availableMemory) { folder, manifest in
            try await GuardedEngine.open(dependencies, folder, manifest)
        }
        // The newest state is enough: what is seen is never older than the next turn of the main thread.
        let (states, continuation) = AsyncStream.makeStream(of: SessionState.self, bufferingPolicy: .bufferingNewest(1))
        vlm = VLMSession(
            load: { try await loader.load($0, progress: $1) }, now: dependencies.now, listener: { continuation.yield($0) })
        Task { [weak self] in
            for await state in states { await self?.onSession(state) }
        }
    }

    private func onSession(_ state: SessionState) async {
        let loop = liveSession
        let frameAge = await loop?.frameAge(state)
        // From here on without a pause: the session and what live mode shows of it are seen to change at once.
        let before = session
        session = state
        announceNews(since: before)
        if let frameAge, loop === liveSession { followLive(state, frameAge) }
    }

    func request(_ request: @escaping @Sendable (VLMSession) async -> Void) {
        requests.enqueue { [vlm] in await request(vlm) }
    }

    // MARK: - the app's life

    /// Lists the bundles and opens the one that was in use. With `restoring`, the conversation that was kept is put back.
    public func start(restoring: Bool = false) async {
        isToRestore = restoring
        await library.start()
        if !restoring { saves.enqueue { [saved] in await saved.delete() } }
        openFirst()
    }

    public func enterForeground() {
        isInForeground = true
        dependencies.crashGuard.foreground()
        request { await $0.foreground() }
        if library.isReady { refresh() }
    }

    /// The app isn't seen any more. True if there is something that `start` can restore.
    @discardableResult
    public func enterBackground() -> Bool {
        isInForeground = false
        endLive()
        dependencies.crashGuard.background()
        request { await $0.background() }
        guard picture != nil else { return false }
        let said = session.turns.filter { $0.ended != nil }
        saves.enqueue { [saved] in await saved.save(said) }
        return true
    }

    /// The system is short of memory.
    public func releaseMemory() {
        request { await $0.releaseMemory() }
    }

    // MARK: - bundles

    private func openFirst() {
        let usable = library.bundles.filter { $0.manifest != nil }
        guard let chosen = usable.first(where: { $0.name == settings.bundle }) ?? usable.first else {
            screen = .welcome
            return
        }
        if !hasCrashed { use(chosen) }
    }

    public func use(_ bundle: StoredBundle) {
        change { $0.bundle = bundle.name }
        if let before = session.bundle, before != bundle.name { forgetPicture() }
        hasCrashed = false
        screen = .chat
        request { await $0.open(bundle.folder) }
        if isToRestore { restore() }
        isToRestore = false
    }

    /// After a crash: the same bundle again.
    public func openAnyway() {
        hasCrashed = false
        openFirst()
    }

    /// Imports the zipped bundle `file`, and uses it.
    public func importBundle(_ file: URL) async {
        if let bundle = await library.add(file) { use(bundle) }
    }

    /// Looks for bundles that a computer has copied.
    public func refresh() {
        Task {
            await library.refresh()
            if screen == .welcome { openFirst() }
        }
    }

    public func delete(_ bundle: StoredBundle) async {
        if bundle.name == session.bundle {
            forgetPicture()
            request { await $0.close() }
            await requests.settle()
        }
        await library.remove(bundle)
        if settings.bundle == bundle.name { change { $0.bundle = nil } }
        if library.bundles.isEmpty { screen = .welcome }
    }

    // MARK: - screens

    public func go(_ next: Screen) {
        endLive()
        if next != .check { endCheck() }
        if next == .bundles { refresh() }
        library.dismiss()
        screen = next
    }

    /// From a screen that lies over another.
    public func back() {
        go(library.bundles.isEmpty ? .welcome : .chat)
        if settings.bundle == nil { openFirst() }  // the one in use was deleted
    }

    /// The screen that lies at the bottom.
    public var root: Screen {
        screen == .welcome || screen != .chat && library.bundles.isEmpty ? .welcome : .chat
    }

    /// The screens that lie over it; without any, it is seen again.
    public var pushed: [Screen] {
        get { screen == .welcome || screen == .chat ? [] : [screen] }
        set { if newValue.isEmpty, !pushed.isEmpty { back() } }
    }

    /// Whether the display must not go dark: nobody touches it while it shows what comes.
    public var staysAwake: Bool { live != nil || check?.isRunning == true }

    // MARK: - conversation

    /// Asks about the picture. False, and nothing happens, where that can't be.
    @discardableResult
    public func ask(_ question: String) async -> Bool {
        guard picture != nil else { return false }
        let question = question.trimmingCharacters(in: .whitespacesAndNewlines)
        return await requests.enqueue { [vlm] in await vlm.ask(question) }.value
    }

    public func stop() {
        request { await $0.stop() }
    }

    /// Takes back the last question.
    public func undo() {
        request { await $0.undo() }
    }

    public func newChat(asking question: String? = nil) {
        request { session in
            await session.newChat()
            if let question { await session.ask(question) }
        }
    }

    public func retry() {
        request { await $0.retry() }
    }

    // MARK: - settings

    /// Figures under each answer.
    public var showsStats: Bool {
        get { settings.showsStats }
        set { change { $0.showsStats = newValue } }
    }

    /// Keeps the `lines` that aren't blank as questions on buttons; none at all brings the app's own back.
    public func setPresets(_ lines: String) {
        let presets = lines.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        change { $0.presets = presets.isEmpty ? Settings.ownPresets : presets }
    }

    /// What runs the model; nil: what its manifest says. With something else it is loaded again.
    public var computeUnits: CoreMLSpec.ComputeUnits? {
        get { settings.computeUnits }
        set {
            guard newValue != settings.computeUnits else { return }
            change { $0.computeUnits = newValue }
            reload()
        }
    }

    private func reload() {
        guard let bundle = library.bundles.first(where: { $0.name == session.bundle }) else { return }
        let (shown, said) = (picture, session.turns)
        request { session in
            await session.close()
            await session.settle()  // it is freed
            await session.open(bundle.folder)
            if let shown { await session.resume(shown, said: said) }
        }
    }

    func change(_ change: (inout Settings) -> Void) {
        change(&settings)
        dependencies.settings.save(settings)
    }

    // MARK: - speech

    /// Speaks an answer, with a voice of its language; or falls silent, if it is the one that is being spoken.
    public func speak(_ text: String) {
        let isOver = speaking == text
        dependencies.speaker.stop()
        speaking = nil
        if isOver { return }
        spoken += 1
        let mine = spoken
        let isHan = text.unicodeScalars.contains { (0x3400...0x9FFF).contains($0.value) }
        let isSpoken = dependencies.speaker.speak(text, in: isHan ? "zh-CN" : "en-US") { [weak self] in
            if self?.spoken == mine { self?.speaking = nil }
        }
        if isSpoken { speaking = text }
        hasNoVoice = !isSpoken
    }

    /// An answer is read out once it is there, not word by word; a problem as soon as it comes.
    private func announceNews(since before: SessionState) {
        if let problem = session.problem, problem != before.problem {
            let notice = notice(of: problem)
            dependencies.announce([notice.title, notice.detail])
        }
        guard live == nil, let turn = session.turns.last, turn.ended != nil, !turn.answer.isEmpty else { return }
        let isNew = session.turns.count > before.turns.count || before.turns.last?.ended == nil
        if isNew, session.turns.count >= before.turns.count { dependencies.announce([.literal(turn.answer)]) }
    }

    /// Returns once nothing is left to do; for tests.
    func settle() async {
        while true {
            await requests.settle()
            await saves.settle()
            await vlm.settle()
            if await vlm.state == session { return }
            await Task.yield()
        }
    }
}
