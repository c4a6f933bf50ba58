import Foundation
import MobileVLMCore
import Observation

/// The current screen.
public enum Screen: Sendable {
    case welcome, chat, conversations, bundles, check, settings, about
}

/// The app's single state holder: user actions go in, and the views read the state to show.
@Observable @MainActor
public final class AppModel {
    public let library: BundleLibrary
    public internal(set) var screen = Screen.chat { didSet { runCamera() } }
    public internal(set) var session = SessionState() { didSet { runCamera() } }
    /// The current picture.
    public internal(set) var picture: Picture? { didSet { runCamera() } }
    public internal(set) var isReadingPicture = false
    public internal(set) var pictureProblem: String?
    /// A different number for each picture.
    public internal(set) var pictureNumber = 0
    public internal(set) var camera = CameraState.off
    public internal(set) var controls = CameraControls() {
        didSet { if controls != oldValue { dependencies.camera.apply(controls) } }
    }
    /// Whether the shutter starts live mode.
    public var isLiveMode = false { didSet { if !isLiveMode { endLive() } } }
    public internal(set) var live: LiveState?
    public internal(set) var check: CheckState?
    /// The app ended while the engine ran, so nothing is loaded automatically.
    public internal(set) var hasCrashed: Bool
    /// The answer being read aloud.
    public internal(set) var speaking: String?
    /// The phone has no voice for the answer that was to be read aloud.
    public var hasNoVoice = false
    public internal(set) var settings: Settings
    public internal(set) var conversations = [KeptConversation]()
    /// Where `picture` is from.
    var viewing: Viewing?
    /// The previous picture with its conversation.
    var previous: Viewing?

    @ObservationIgnored let dependencies: Dependencies
    @ObservationIgnored let vlm: VLMSession
    @ObservationIgnored let saved: SavedConversation
    @ObservationIgnored let kept: ConversationStore
    /// The size of the viewfinder on the screen.
    @ObservationIgnored public var viewfinder: Extent?
    @ObservationIgnored var arrival: Arrival?
    @ObservationIgnored private let foreground = ForegroundGate()
    @ObservationIgnored let requests = SerialQueue()
    @ObservationIgnored let saves = SerialQueue()
    @ObservationIgnored var pictureBefore = 0  // the session's number of the picture before this one
    @ObservationIgnored var pictureRequests = 0  // counts requests for pictures, so that late ones are dropped
    @ObservationIgnored var cameraTask: Task<Void, Never>?
    @ObservationIgnored var isShutterPressed = false
    @ObservationIgnored var liveSession: LiveSession?
    @ObservationIgnored var checks = 0  // counts starts and ends, to ignore findings of an old check
    @ObservationIgnored var isInForeground = false { didSet { runCamera() } }
    @ObservationIgnored private var isToRestore = false
    @ObservationIgnored var spoken = 0  // counts answers, to ignore the end of an old one

    public init(_ dependencies: Dependencies) {
        self.dependencies = dependencies
        library = BundleLibrary(dependencies)
        saved = SavedConversation(dependencies.cache)
        kept = ConversationStore(dependencies.conversations, keepFromBackup: dependencies.keepFromBackup)
        settings = dependencies.settings.load()
        hasCrashed = dependencies.crashGuard.hasCrashed
        let loader = ModelLoader(availableMemory: dependencies.phone.availableMemory) { [foreground] folder, manifest in
            try await GuardedEngine.open(dependencies, foreground, folder, manifest)
        }
        // The newest state is enough, because the views update once per turn of the main thread.
        let (states, continuation) = AsyncStream.makeStream(of: SessionState.self, bufferingPolicy: .bufferingNewest(1))
        vlm = VLMSession(
            load: { try await loader.load($0, regardless: $1, progress: $2) }, now: dependencies.now,
            listener: { continuation.yield($0) })
        Task { [weak self] in
            for await state in states { await self?.onSession(state) }
        }
    }

    private func onSession(_ state: SessionState) async {
        let loop = liveSession
        let frameAge = await loop?.frameAge(state)
        // No suspension from here on, so that the session and live mode change together.
        let before = session
        session = state
        announceNews(since: before)
        if let earcon = Earcon.of(before, session, isLive: live != nil) { play(earcon) }
        if session.turns != before.turns { keepConversation() }
        if session.bundle != nil { arrive() }
        if let frameAge, loop === liveSession { followLive(state, frameAge) }
    }

    func request(_ request: @escaping @Sendable (VLMSession) async -> Void) {
        requests.enqueue { [vlm] in await request(vlm) }
    }

    // MARK: - lifecycle

    /// Lists the bundles and opens the last used one. With `restoring`, restores the saved conversation.
    public func start(restoring: Bool = false) async {
        isToRestore = restoring
        await library.start()
        if !restoring { saves.enqueue { [saved] in await saved.delete() } }
        listConversations()
        if settings.opensLive, !restoring { arrival = arrival ?? .live }
        openFirst()
        if screen == .welcome, !settings.hasImportedPacked { await importPacked() }
    }

    public func enterForeground() {
        let isBack = !isInForeground
        isInForeground = true
        if isBack, settings.opensLive, isLiveMode, screen == .chat, picture == nil { startLive() }
        dependencies.crashGuard.foreground()
        foreground.open()
        request { await $0.foreground() }
        if library.isReady { refresh() }
    }

    /// The app is inactive: covered, or on its way to the background, where the GPU is forbidden. What runs waits after its next step.
    public func resignActive() {
        dependencies.crashGuard.background()
        foreground.close()
    }

    /// The app went to the background. Returns whether there is something that `start` can restore; nil if the app wasn't visible before,
    /// such as when the system starts it there: what was saved then stays.
    @discardableResult
    public func enterBackground() -> Bool? {
        let wasSeen = isInForeground
        isInForeground = false
        resignActive()
        endLive()
        request { await $0.background() }
        guard wasSeen else { return nil }
        guard picture != nil else { return isToRestore }
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
        guard !hasCrashed else { return }
        let before = screen
        use(chosen)
        if before == .bundles { screen = before }  // it shows an import
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

    /// Looks for bundles copied by a computer.
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
        if next == .conversations { listConversations() }
        library.dismiss()
        screen = next
    }

    /// Goes back from a screen on top of another.
    public func back() {
        go(library.bundles.isEmpty ? .welcome : .chat)
        if settings.bundle == nil { openFirst() }  // the one in use was deleted
    }

    /// The bottom screen.
    public var root: Screen {
        screen == .welcome || screen != .chat && library.bundles.isEmpty ? .welcome : .chat
    }

    /// The screens on top of it; clearing them goes back.
    public var pushed: [Screen] {
        get { screen == .welcome || screen == .chat ? [] : [screen] }
        set { if newValue.isEmpty, !pushed.isEmpty { back() } }
    }

    /// Whether the display must stay on, because the user only watches; an import or a load would stop with it.
    public var staysAwake: Bool {
        live != nil || check?.isRunning == true || library.importing != nil || session.phase == .loading
    }

    // MARK: - conversation

    /// Asks about the picture. Returns false and changes nothing if that isn't possible.
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

    public func retry(regardless: Bool = false) {
        request { await $0.retry(regardless: regardless) }
    }

    func change(_ change: (inout Settings) -> Void) {
        change(&settings)
        dependencies.settings.save(settings)
    }

    /// Announces an answer once it is complete, not word by word, and a problem at once.
    private func announceNews(since before: SessionState) {
        if let problem = session.problem, problem != before.problem {
            let notice = notice(of: problem)
            dependencies.announce([notice.title, notice.detail])
        }
        guard live == nil, session.picture == before.picture, let turn = session.turns.last, turn.ended != nil,
            !turn.answer.isEmpty
        else { return }
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
