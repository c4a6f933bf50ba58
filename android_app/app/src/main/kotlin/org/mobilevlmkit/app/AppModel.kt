package org.mobilevlmkit.app

import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import org.mobilevlmkit.core.PictureException
import org.mobilevlmkit.core.bundle.BundleLibrary
import org.mobilevlmkit.core.bundle.StoredBundle
import org.mobilevlmkit.core.camera.Crop
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.pixels.Png
import org.mobilevlmkit.core.pixels.cropped
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.ModelLoader
import org.mobilevlmkit.core.session.VlmSession
import java.io.File
import java.io.IOException
import java.io.InputStream

/** The app's single state holder: user actions go in, [UiState] comes out. For the main thread. */
class AppModel(val dependencies: Dependencies) {
    private val published = MutableStateFlow(
        UiState(
            showsDetails = dependencies.settings.showsDetails,
            presets = dependencies.settings.presets,
            isLiveMode = dependencies.settings.opensLive,
        ),
    )

    /** Every new state; changed on the main thread only. */
    val states: StateFlow<UiState> = published.asStateFlow()
    val state: UiState get() = published.value

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
    private val library = BundleLibrary(dependencies.store, dependencies.io) { dependencies.main.execute(::onLibrary) }
    private val savedPicture = SavedPicture(dependencies)
    private val unseen = Handler(Looper.getMainLooper()) // frees the model a while after the app was left
    private var check: PhoneCheck? = null
    private var shown: Picture? = null
    private var began = 0L // when the conversation began, in milliseconds since 1970
    private var kept: List<ChatTurn> = emptyList() // what was written of it
    private var whole: Whole? = null // of which the picture is a part
    private var previous: List<ChatTurn>? = null // the conversation about the previous picture, which is in a file
    private var toPick: Uri? = null // until a bundle is selected
    private var isToStartLive = dependencies.settings.opensLive // once the camera is open
    private var pictureRequests = 0 // counts requests for pictures, so that late ones are dropped
    private var toRestore: List<ChatTurn>? = null // until a bundle is selected

    @Volatile
    private var live: LiveLoop? = null

    @Volatile
    private var isInForeground = false

    @Volatile
    private var isShutterPressed = false

    private class Whole(val picture: Picture, val bitmap: Bitmap, val turns: List<ChatTurn>)

    init {
        countConversations()
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
            !state.hasCrashed -> use(chosen)
        }
    }

    fun use(bundle: StoredBundle) {
        dependencies.settings.bundle = bundle.folder.name
        val before = session.state.bundle
        if (before != null && bundle.folder.name != before) forgetPicture()
        change { copy(screen = Screen.CHAT, hasCrashed = false) }
        session.open(bundle.folder)
        toRestore?.let { turns -> readPicture(turns) { savedPicture.load() } }
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

    /** Imports the document [uri] of another app. */
    fun import(uri: Uri) {
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
            forgetPicture()
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
        if (screen == Screen.CONVERSATIONS) listConversations()
        library.dismiss()
        change { copy(screen = screen) }
    }

    /** Whether [back] leads anywhere. */
    val canGoBack: Boolean get() = state.live != null || state.picture != null ||
        state.screen != Screen.CHAT && state.screen != Screen.WELCOME

    /** Goes back one screen; returns false if there is none. */
    fun back(): Boolean = when {
        state.live != null -> true.also { endLive() }
        state.screen == Screen.CHAT && state.isEnlarged -> true.also { enlarge(false) }
        state.screen == Screen.CHAT && state.picture != null -> true.also { newPicture() }
        state.screen == Screen.CHAT || state.screen == Screen.WELCOME -> false
        else -> true.also {
            go(Screen.CHAT)
            if (session.state.bundle == null) openFirst(state.bundles)
        }
    }

    // --- pictures

    fun onCamera(camera: CameraState) = change {
        // Closed, it forgets all settings but which camera it is.
        copy(camera = camera, controls = if (camera == CameraState.OPEN) controls else CameraControls(isFront = controls.isFront))
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
        if (state.picture != null) newPicture()
        isToStartLive = true
        change { copy(isLiveMode = true) }
        if (state.camera == CameraState.OPEN) onTraits(state.traits)
    }

    /** The next frame becomes the picture. */
    fun pressShutter() {
        isShutterPressed = true
    }

    /** On the camera's thread. */
    fun onFrame(frame: Frame) {
        live?.onFrame(frame)
        if (!isShutterPressed) return
        isShutterPressed = false
        val picture = frame.picture()
        val bitmap = Photos.bitmap(picture)
        dependencies.main.execute { show(picture, bitmap) }
    }

    /** Reads the picture that the user chose in another app, or shared from it. */
    fun pick(uri: Uri) {
        if (session.state.bundle == null) {
            toPick = uri
            return
        }
        if (state.screen != Screen.CHAT) go(Screen.CHAT)
        val backdrop = backdrop()
        readPicture { Photos.read(dependencies.context.contentResolver, uri, backdrop) }
    }

    /** Shows the picture alone, or no longer. */
    fun enlarge(isEnlarged: Boolean) = change { copy(isEnlarged = isEnlarged && picture != null) }

    /** [part] of the picture becomes the picture: the model sees it larger. */
    fun askAboutPart(part: Crop) {
        val picture = shown ?: return
        val bitmap = state.picture ?: return
        val from = whole ?: Whole(picture, bitmap, finished())
        readPicture(of = from) { picture.cropped(part) }
    }

    /** Back to the picture of which a part was shown. */
    fun wholePicture() {
        val back = whole ?: return
        show(back.picture, back.bitmap, back.turns)
    }

    private fun finished() = session.state.turns.filter { it.ended != null }

    private fun backdrop() = state.bundles.firstOrNull { it.folder.name == session.state.bundle }?.manifest?.image?.padColor ?: 0

    private fun readPicture(turns: List<ChatTurn> = emptyList(), of: Whole? = null, began: Long? = null, read: () -> Picture) {
        val request = ++pictureRequests
        change { copy(isReadingPicture = true, pictureProblem = null) }
        dependencies.io.execute {
            val (picture, problem) = try {
                read() to null
            } catch (error: PictureException) {
                null to error.message
            }
            val bitmap = picture?.let(Photos::bitmap)
            dependencies.main.execute {
                if (request == pictureRequests) {
                    change { copy(isReadingPicture = false, pictureProblem = problem) }
                    if (picture != null && bitmap != null) show(picture, bitmap, turns, of, began)
                }
            }
        }
    }

    /** [of]: the whole picture of which [picture] is a part; [since]: when a conversation that goes on began. */
    private fun show(picture: Picture, bitmap: Bitmap, turns: List<ChatTurn> = emptyList(), of: Whole? = null, since: Long? = null) {
        pictureRequests++
        endLive()
        shown = picture
        whole = of
        began = since ?: dependencies.wallMs()
        kept = turns
        savedPicture.save(picture)
        change {
            copy(
                picture = bitmap,
                pictureSize = picture.width to picture.height,
                isPart = of != null,
                isEnlarged = false,
                isReadingPicture = false,
                pictureProblem = null,
            )
        }
        if (turns.isEmpty()) session.show(picture) else session.resume(picture, turns)
    }

    /** Goes back to the camera; [undoPicture] restores the picture and its conversation. */
    fun newPicture() {
        if (shown != null) {
            previous = finished()
            savedPicture.setAside()
        }
        session.stop()
        pictureRequests++
        shown = null
        whole = null
        change { copy(picture = null, isEnlarged = false, isReadingPicture = false, hasPrevious = previous != null) }
    }

    /** The previous picture with its conversation. */
    fun undoPicture() {
        val turns = previous ?: return
        previous = null
        change { copy(hasPrevious = false) }
        readPicture(turns) { savedPicture.loadSetAside() }
    }

    private fun forgetPicture() {
        endLive()
        pictureRequests++
        shown = null
        whole = null
        previous = null
        savedPicture.delete()
        change { copy(picture = null, isEnlarged = false, hasPrevious = false, pictureProblem = null) }
    }

    // --- conversation

    fun ask(question: String): Boolean = state.picture != null && session.ask(question.trim())

    fun stop() = session.stop()

    /** [text] is being spoken, or nothing if null. */
    fun onSpeaking(text: String?) = change { copy(speaking = text) }

    fun undo() = session.undo()

    fun newChat(question: String? = null) {
        began = dependencies.wallMs()
        session.newChat()
        if (question != null) session.ask(question)
    }

    fun retry() = session.retry()

    /** Loads the model although the phone reports too little memory. */
    fun loadAnyway() {
        loader.loadedAnyway = state.bundles.firstOrNull { it.folder.name == session.state.bundle }?.folder
        session.retry()
    }

    /** Writes the picture for other apps and passes its file name to [onFile]. */
    fun writePicture(onFile: (String) -> Unit) {
        val picture = shown ?: return
        dependencies.io.execute {
            val file = File(CaptureProvider.folder(dependencies.context), "picture.png")
            try {
                file.outputStream().buffered().use { Png.write(picture, it) }
            } catch (_: IOException) {
                return@execute // no room
            }
            dependencies.main.execute { onFile(file.name) }
        }
    }

    // --- kept conversations

    /** Writes the conversation when an answer has ended, if the user wants conversations to be kept. */
    private fun keepConversation() {
        val picture = shown ?: return
        val turns = session.state.turns
        val most = dependencies.settings.keep.most
        if (most == 0 || turns.isEmpty() || turns == kept || turns.any { it.ended == null }) return
        kept = turns
        val since = began
        dependencies.io.execute {
            dependencies.conversations.keep(since, picture, turns, most)
            dependencies.main.execute(::countConversations)
        }
    }

    private fun countConversations() = dependencies.io.execute {
        val count = dependencies.conversations.count()
        dependencies.main.execute { change { copy(keptConversations = count) } }
    }

    private fun listConversations() = dependencies.io.execute {
        val list = dependencies.conversations.list()
        dependencies.main.execute { change { copy(conversations = list, keptConversations = list.size) } }
    }

    /** Continues the conversation that began at [since], with whichever model is in use. */
    fun openConversation(since: Long) {
        go(Screen.CHAT)
        dependencies.io.execute {
            val turns = dependencies.conversations.turns(since)
            dependencies.main.execute { readPicture(turns, began = since) { dependencies.conversations.picture(since) } }
        }
    }

    fun deleteConversation(since: Long) {
        dependencies.io.execute { dependencies.conversations.delete(since) }
        listConversations()
    }

    fun deleteConversations() {
        dependencies.io.execute { dependencies.conversations.deleteAll() }
        listConversations()
        if (state.screen == Screen.CONVERSATIONS) back()
    }

    // --- live mode

    fun startLive(question: String) {
        if (question.isBlank() || state.session.bundle == null) return
        dependencies.settings.liveQuestion = question.trim()
        if (state.picture != null) newPicture()
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
        endLive()
        session.background()
        dependencies.guard.isInForeground = false
        unseen.postDelayed(::releaseMemory, UNSEEN_MS)
    }

    /** The system needs memory: frees the model if the app is in the background. */
    fun releaseMemory() = session.releaseMemory()

    /** Saves the conversation in case the system ends the app; the picture is in a file. */
    fun save(out: Bundle) {
        val said = finished()
        out.putLong(BEGAN, began)
        out.putBoolean(HAS_PICTURE, shown != null)
        out.putStringArray(QUESTIONS, said.map { it.question }.toTypedArray())
        out.putStringArray(ANSWERS, said.map { it.answer }.toTypedArray())
        out.putIntArray(ENDINGS, said.map { checkNotNull(it.ended).ordinal }.toIntArray())
    }

    /** Restores what [save] wrote, if this is a new process. */
    fun restore(saved: Bundle?) {
        if (saved == null || state.library.isReady || !saved.getBoolean(HAS_PICTURE)) return
        val answers = saved.getStringArray(ANSWERS).orEmpty()
        val endings = saved.getIntArray(ENDINGS) ?: IntArray(0)
        toRestore = saved.getStringArray(QUESTIONS).orEmpty().mapIndexed { index, question ->
            ChatTurn(question, answers[index], Ended.values()[endings[index]])
        }
    }

    // --- state

    private fun onSession() {
        change { copy(session = this@AppModel.session.state) }
        keepConversation()
        live?.onSession()
        check?.onSession()
    }

    private fun change(new: UiState.() -> UiState) {
        published.value = state.new()
    }

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
