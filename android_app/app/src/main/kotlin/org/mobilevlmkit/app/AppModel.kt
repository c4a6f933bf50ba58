package org.mobilevlmkit.app

import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import org.mobilevlmkit.core.bundle.BundleLibrary
import org.mobilevlmkit.core.bundle.StoredBundle
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.ModelLoader
import org.mobilevlmkit.core.session.VlmSession
import java.io.InputStream

/** The app's single state holder: user actions go in, [UiState] comes out. For the main thread. */
class AppModel(val dependencies: Dependencies) {
    private val holder = StateHolder(
        UiState(
            showsDetails = dependencies.settings.showsDetails,
            presets = dependencies.settings.presets,
            isLiveMode = dependencies.settings.opensLive,
        ),
    )

    /** Every new state. */
    val states get() = holder.states
    val state: UiState get() = holder.state

    private val loader =
        ModelLoader(
            BACKEND,
            dependencies.guard.guarding(dependencies.engines),
            dependencies.phone::availableMemory,
            dependencies::nanoTime,
            dependencies.verified,
        )
    private val session =
        VlmSession(loader::load, dependencies.worker, dependencies::nanoTime, listener = { dependencies.main.execute(::onSession) })
    private val library = BundleLibrary(dependencies.store, dependencies.imports) { dependencies.main.execute(::onLibrary) }
    val pictures = Pictures(dependencies, session, holder, onShow = ::endLive)
    val conversations = ConversationKeeper(dependencies, holder, pictures)
    private val unseen = Handler(Looper.getMainLooper()) // frees the model a while after the app was left
    private var check: PhoneCheck? = null
    private var toPick: Uri? = null // until a bundle is selected
    private var isToStartLive = dependencies.settings.opensLive // once the camera is open
    private var toRestore: Pair<Long, List<ChatTurn>>? = null // until a bundle is selected

    @Volatile
    private var live: LiveLoop? = null

    @Volatile
    private var isInForeground = false

    @Volatile
    private var isShutterPressed = false

    init {
        conversations.count()
        if (dependencies.settings.isEngineBusy) {
            dependencies.settings.isEngineBusy = false
            change { copy(hasCrashed = true) }
        }
    }

    // --- bundles

    private fun openFirst(found: List<StoredBundle>) {
        val usable = found.filter { it.manifest != null }
        // An outdated bundle is opened to report the problem if it was in use or is the only one.
        val chosen =
            usable.firstOrNull { it.folder.name == dependencies.settings.bundle } ?: usable.firstOrNull { !it.isOutdated }
                ?: usable.firstOrNull()
        when {
            chosen == null -> change { copy(screen = Screen.WELCOME) }
            !state.hasCrashed -> {
                val before = state.screen
                use(chosen)
                if (before == Screen.BUNDLES) change { copy(screen = before) } // an import began there
            }
        }
    }

    fun use(bundle: StoredBundle) {
        dependencies.settings.bundle = bundle.folder.name
        val before = session.state.bundle
        if (before != null && bundle.folder.name != before) {
            endLive()
            pictures.forget()
        }
        change { copy(screen = Screen.CHAT, hasCrashed = false) }
        session.open(bundle.folder)
        toRestore?.let { (began, turns) -> pictures.restore(turns, began) }
        toRestore = null
        toPick?.let(::pick)
        toPick = null
    }

    /** After a crash: the same bundle again. */
    fun openAnyway() {
        change { copy(hasCrashed = false) }
        openFirst(state.bundles)
    }

    /** The first listing opens a bundle; an imported bundle is used at once. */
    private fun onLibrary() {
        val new = library.state
        val before = state.library
        change { copy(library = new) }
        ImportService.follow(dependencies.context, new.importing != null)
        if (!before.isReady && new.isReady) {
            importPushed()
            if (new.bundles.isEmpty() && hasPacked && !dependencies.settings.hasImportedPacked) importPacked() else openFirst(new.bundles)
        }
        if (before.importing == PACKED_NAME && new.importing == null) dependencies.settings.hasImportedPacked = true
        val imported = new.imported
        if (imported != null && imported != before.imported) use(imported)
        if (before.bundles.isEmpty() && new.bundles.isNotEmpty() && state.screen == Screen.WELCOME) openFirst(new.bundles)
    }

    /** Whether a bundle is packed into the app. */
    val hasPacked: Boolean by lazy { dependencies.packed() != null }

    /** Imports the packed bundle: automatically at the first start, later on request. */
    fun importPacked() {
        val open = dependencies.packed() ?: return
        if (state.bundles.isEmpty()) change { copy(screen = Screen.WELCOME) }
        library.import(PACKED_NAME, open)
    }

    fun import(name: String, open: () -> InputStream) = library.import(name, open)

    /** Imports the document [uri] of another app, where its progress and a failure are shown. */
    fun import(uri: Uri) {
        if (state.screen != Screen.WELCOME) go(Screen.BUNDLES)
        // The other app may be slow, so it is asked on the library's thread.
        val documents = Documents(dependencies.context.contentResolver)
        library.import({ documents.nameOf(uri) ?: DEFAULT_NAME }) { documents.open(uri) }
    }

    /** Imports a bundle that `mvlm push` put into the app, and deletes its zip afterwards. */
    private fun importPushed() {
        val zip = dependencies.pushedZip() ?: return
        library.import({ zip.name }, onEnd = { zip.delete() }) { zip.inputStream() }
    }

    fun cancelImport() = library.cancel()

    fun delete(bundle: StoredBundle) {
        if (bundle.folder.name == session.state.bundle) {
            endLive()
            pictures.forget()
            session.close()
        }
        library.remove(bundle)
        if (dependencies.settings.bundle == bundle.folder.name) dependencies.settings.bundle = null
        if (state.bundles.none { it.folder != bundle.folder }) change { copy(screen = Screen.WELCOME) }
    }

    // --- screens

    fun go(screen: Screen) {
        endLive()
        if (screen != Screen.CHECK) endCheck()
        if (screen == Screen.BUNDLES) library.refresh()
        if (screen == Screen.CONVERSATIONS) conversations.list()
        library.dismiss()
        change { copy(screen = screen) }
    }

    /** Whether [back] leads anywhere. */
    val canGoBack: Boolean get() = state.live != null || state.picture != null ||
        state.screen != Screen.CHAT && state.screen != Screen.WELCOME

    /** Goes back one screen; returns false if there is none. */
    fun back(): Boolean = when {
        state.live != null -> true.also { endLive() }
        state.screen == Screen.CHAT && state.isEnlarged -> true.also { pictures.enlarge(false) }
        state.screen == Screen.CHAT && state.picture != null -> true.also { pictures.leave() }
        state.screen == Screen.CHAT || state.screen == Screen.WELCOME -> false
        else -> true.also {
            go(Screen.CHAT)
            if (session.state.bundle == null) openFirst(state.bundles)
        }
    }

    // --- pictures

    fun onCamera(camera: CameraState) {
        if (camera != CameraState.OPEN) isShutterPressed = false // no photo by itself when it is back
        // Closed, it forgets all settings but which camera it is.
        change {
            copy(camera = camera, controls = if (camera == CameraState.OPEN) controls else CameraControls(isFront = controls.isFront))
        }
    }

    fun onTraits(traits: CameraTraits) {
        change { copy(traits = traits) }
        if (isToStartLive && state.isLiveMode) startLive(dependencies.settings.liveQuestion)
        isToStartLive = false
    }

    /** Changes how the camera is set. */
    fun adjust(change: CameraControls.() -> CameraControls) = change { copy(controls = controls.change()) }

    fun switchCamera() = change { copy(controls = CameraControls(isFront = !controls.isFront)) }

    /** Switches between photos and live mode. */
    fun setLiveMode(isLive: Boolean) {
        if (!isLive) endLive()
        change { copy(isLiveMode = isLive) }
    }

    /** Live mode begins as soon as the camera is open. */
    fun openLive() {
        go(Screen.CHAT)
        if (state.picture != null) pictures.leave()
        isToStartLive = true
        change { copy(isLiveMode = true) }
        if (state.camera == CameraState.OPEN) onTraits(state.traits)
    }

    /** The next frame becomes the picture. */
    fun pressShutter() {
        isShutterPressed = true
        play(Earcon.SHUTTER)
    }

    /** On the camera's thread. */
    fun onFrame(frame: Frame) {
        live?.onFrame(frame)
        if (!isShutterPressed) return
        isShutterPressed = false
        val picture = frame.picture()
        val bitmap = Photos.bitmap(picture)
        dependencies.main.execute { pictures.show(picture, bitmap) }
    }

    /** Reads the picture that the user chose in another app, or shared from it. */
    fun pick(uri: Uri) {
        if (session.state.bundle == null) {
            toPick = uri
            return
        }
        if (state.screen != Screen.CHAT) go(Screen.CHAT)
        val backdrop = backdrop()
        pictures.read { Photos.read(dependencies.context.contentResolver, uri, backdrop) }
    }

    private fun backdrop() = state.bundles.firstOrNull { it.folder.name == session.state.bundle }?.manifest?.image?.padColor ?: 0

    // --- conversation

    fun ask(question: String): Boolean = state.picture != null && session.ask(question.trim())

    fun stop() = session.stop()

    /** [text] is being spoken, or nothing if null. */
    fun onSpeaking(text: String?) = change { copy(speaking = text) }

    fun undo() = session.undo()

    fun newChat(question: String? = null) {
        pictures.beginAgain()
        session.newChat()
        if (question != null) session.ask(question)
    }

    fun retry() = session.retry()

    /** Loads the model although the phone reports too little memory. */
    fun loadAnyway() {
        loader.loadedAnyway = state.bundles.firstOrNull { it.folder.name == session.state.bundle }?.folder
        session.retry()
    }

    /** Continues the conversation that began at [began]. */
    fun openConversation(began: Long) {
        go(Screen.CHAT)
        conversations.open(began)
    }

    fun deleteConversations() {
        conversations.deleteAll()
        if (state.screen == Screen.CONVERSATIONS) back()
    }

    // --- live mode

    fun startLive(question: String) {
        if (question.isBlank() || state.session.bundle == null) return
        dependencies.settings.liveQuestion = question.trim()
        if (state.picture != null) pictures.leave()
        val loop = LiveLoop(question.trim(), session, dependencies, { isInForeground }) { state -> change { copy(live = state) } }
        change { copy(isLiveMode = true, live = LiveState(question.trim())) }
        live = loop
    }

    fun endLive() {
        live?.end() ?: return
        live = null
        change { copy(live = null) }
    }

    // --- check

    fun startCheck() {
        endLive()
        endCheck()
        val new = PhoneCheck(session, dependencies) { state -> change { copy(check = state) } }
        if (new.start()) check = new
    }

    /** Writes a capture of the check and passes its file name to [onFile]. */
    fun capture(onFile: (String) -> Unit) = check?.capture(onFile)

    private fun endCheck() {
        check?.end() ?: return
        check = null
        change { copy(check = null) }
    }

    // --- settings

    fun setDetailsShown(isShown: Boolean) {
        dependencies.settings.showsDetails = isShown
        change { copy(showsDetails = isShown) }
    }

    fun setKeep(keep: Keep) {
        dependencies.settings.keep = keep
    }

    /** Live mode asks what people who can't see need to know first. */
    fun guide() {
        dependencies.settings.liveQuestion = dependencies.context.getString(R.string.settings_guide_question)
        openLive()
    }

    /** Saves [presets]; an empty list restores the defaults. */
    fun setPresets(presets: List<String>) {
        if (presets.isEmpty()) dependencies.settings.resetPresets() else dependencies.settings.presets = presets
        change { copy(presets = dependencies.settings.presets) }
    }

    /** [cause] without the paths of the app's own folders. */
    fun plain(cause: String): String = dependencies.folders.fold(cause) { left, folder -> left.replace("$folder/", "") }

    // --- lifecycle

    fun onStart() {
        isInForeground = true
        unseen.removeCallbacksAndMessages(null)
        dependencies.guard.isInForeground = true
        session.foreground()
        if (state.library.isReady) {
            library.refresh()
            importPushed()
        }
    }

    /** Not called on rotation. */
    fun onStop() {
        isInForeground = false
        isToStartLive = state.live != null && dependencies.settings.opensLive
        endLive()
        session.background()
        dependencies.guard.isInForeground = false
        unseen.postDelayed(::releaseMemory, UNSEEN_MS)
    }

    /** The system needs memory: frees the model if the app is in the background. */
    fun releaseMemory() = session.releaseMemory()

    /** Saves the conversation in case the system ends the app; the picture is in a file. */
    fun save(out: Bundle) {
        val said = pictures.finished()
        out.putLong(BEGAN, pictures.began)
        out.putBoolean(HAS_PICTURE, pictures.shown != null)
        out.putStringArray(QUESTIONS, said.map { it.question }.toTypedArray())
        out.putStringArray(ANSWERS, said.map { it.answer }.toTypedArray())
        out.putIntArray(ENDINGS, said.map { checkNotNull(it.ended).ordinal }.toIntArray())
    }

    /** Restores what [save] wrote, if this is a new process. */
    fun restore(saved: Bundle?) {
        if (saved == null || state.library.isReady || !saved.getBoolean(HAS_PICTURE)) return
        val answers = saved.getStringArray(ANSWERS).orEmpty()
        val endings = saved.getIntArray(ENDINGS) ?: IntArray(0)
        toRestore = saved.getLong(BEGAN) to saved.getStringArray(QUESTIONS).orEmpty().mapIndexed { index, question ->
            ChatTurn(question, answers[index], Ended.values()[endings[index]])
        }
    }

    // --- state

    private fun onSession() {
        val before = state
        change { copy(session = this@AppModel.session.state) }
        Earcon.of(before, state)?.let(::play)
        conversations.keep(state.session.turns)
        live?.onSession()
        check?.onSession()
    }

    private fun play(earcon: Earcon) {
        if (dependencies.settings.playsSounds) dependencies.play(earcon)
    }

    private fun change(new: UiState.() -> UiState) = holder.change(new)

    private companion object {
        /** How long the app may be unseen before its model is freed, in milliseconds. */
        const val UNSEEN_MS = 60_000L
        const val PACKED_NAME = "demo.mvlm.zip"
        const val DEFAULT_NAME = "model.mvlm.zip"
        const val BEGAN = "began"
        const val HAS_PICTURE = "has_picture"
        const val QUESTIONS = "questions"
        const val ANSWERS = "answers"
        const val ENDINGS = "endings"
    }
}
