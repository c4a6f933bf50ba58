package org.mobilevlmkit.app

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.ClipboardManager
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Rect
import android.hardware.display.DisplayManager
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.DocumentsContract
import android.provider.MediaStore
import android.speech.RecognizerIntent
import android.view.View
import android.view.WindowManager
import android.widget.FrameLayout
import android.widget.Toast
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.mobilevlmkit.core.session.ChatTurn
import org.mobilevlmkit.core.session.Phase

/** The only activity: shows the state's screen, runs the camera while it is visible, and talks to the system. */
class MainActivity :
    Activity(),
    Actions,
    CameraListener,
    DisplayManager.DisplayListener {
    private val model get() = (application as App).model
    private lateinit var ui: Ui
    private lateinit var frame: FrameLayout
    private lateinit var speaker: Speaker
    private lateinit var camera: Camera
    private val scope = CoroutineScope(Dispatchers.Unconfined)
    private var screen: Screen? = null
    private var shown: ScreenView? = null
    private var covered = Rect() // by the system's bars and the keyboard
    internal val back = BackGesture(this) { model.back() }
    private var isStarted = false
    private var isCameraOpen = false
    private var controls = CameraControls() // of the open camera

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        ui = Ui(this)
        frame = FrameLayout(this)
        frame.setOnApplyWindowInsetsListener { _, insets ->
            covered = SystemBars.insetsOf(insets)
            inset()
            insets
        }
        setContentView(frame)
        speaker = Speaker(this, model::onSpeaking) { toast(R.string.speak_failed) }
        camera = model.dependencies.camera(this)
        model.restore(savedInstanceState)
        // Changes come on the main thread and are drawn at once.
        scope.launch { model.states.collect(::render) }
        if (savedInstanceState == null) follow(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        follow(intent)
    }

    /** Does what another app asked for: `mvlm push` has copied a bundle, a picture is shared, a model opened, live mode's shortcut touched. */
    private fun follow(intent: Intent) {
        val shared = if (intent.action == Intent.ACTION_SEND) extra { streamOf(intent) } else null
        val opened = if (intent.action == Intent.ACTION_VIEW) intent.data else null
        when {
            extra { intent.getBooleanExtra(CHOOSE_MODEL, false) } == true -> chooseBundle()
            intent.action == LIVE -> model.openLive()
            shared != null -> model.pick(shared)
            opened != null -> model.import(opened)
        }
    }

    /** What [read] finds in an intent; null if another app put something there that can't be read, or is of another type. */
    private fun <T> extra(read: () -> T?): T? = try {
        read()
    } catch (_: RuntimeException) {
        null
    }

    @Suppress("DEPRECATION") // the call that replaced it came with API 33
    private fun streamOf(intent: Intent): Uri? = intent.getParcelableExtra(Intent.EXTRA_STREAM)

    override fun onStart() {
        super.onStart()
        isStarted = true
        getSystemService(DisplayManager::class.java).registerDisplayListener(this, null)
        model.onStart()
        render(model.state) // the camera may be on now
    }

    override fun onStop() {
        isStarted = false
        getSystemService(DisplayManager::class.java).unregisterDisplayListener(this)
        speaker.stop()
        closeCamera()
        if (!isChangingConfigurations) model.onStop()
        super.onStop()
    }

    override fun onDestroy() {
        speaker.close()
        scope.cancel()
        super.onDestroy()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        model.save(outState)
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        // Lower levels come while the app is visible, or at once when it is left (UI_HIDDEN): it may be back in a second.
        if (level >= TRIM_MEMORY_BACKGROUND) model.releaseMemory()
    }

    @Suppress("OVERRIDE_DEPRECATION", "DEPRECATION") // from API 33 on, BackGesture replaces it
    override fun onBackPressed() {
        if (!model.back()) super.onBackPressed()
    }

    // --- views

    private fun render(state: UiState) {
        if (state.screen != screen) {
            screen = state.screen
            shown = build(state.screen)
            frame.removeAllViews()
            frame.addView(shown?.view, FrameLayout.LayoutParams(Ui.MATCH, Ui.MATCH))
            inset()
        }
        SystemBars.apply(this, shown?.images(state) ?: ImageEdges())
        (shown as? ChatScreen)?.place(camera.preview)
        runCamera(state)
        shown?.render(model.state) // the camera may have changed it
        val spoken = model.state.speaking
        val isShown = state.screen == Screen.CHAT && state.picture != null && state.session.turns.any { it.answer == spoken }
        if (spoken != null && !isShown) speaker.stop()
        back.handle(model.canGoBack)
        val isWaiting = state.library.importing != null || state.session.phase == Phase.LOADING
        val staysOn = state.live != null || state.check?.isRunning == true || isWaiting
        window.setFlags(if (staysOn) KEEP_SCREEN_ON else 0, KEEP_SCREEN_ON)
    }

    /** Keeps the screen's views from under what covers its edges. */
    private fun inset() = shown?.inset(covered) ?: Unit

    private fun build(screen: Screen): ScreenView = when (screen) {
        Screen.WELCOME -> WelcomeScreen(ui, model, this)
        Screen.CHAT -> ChatScreen(ui, model, this)
        Screen.BUNDLES -> BundlesScreen(ui, model, this)
        Screen.CONVERSATIONS -> ConversationsScreen(ui, model)
        Screen.CHECK -> CheckScreen(ui, model, this)
        Screen.SETTINGS -> SettingsScreen(ui, model)
        Screen.ABOUT -> AboutScreen(ui, model)
    }

    // --- camera

    private fun runCamera(state: UiState) {
        val isWanted = isStarted && state.screen == Screen.CHAT && state.picture == null && state.session.bundle != null
        if (!isWanted) {
            closeCamera()
        } else if (!isCameraOpen && state.camera in REOPENED) {
            openCamera()
        } else if (isCameraOpen && state.controls != controls) {
            val isOther = state.controls.isFront != controls.isFront
            controls = state.controls
            if (isOther) camera.open(controls, this) else camera.adjust(controls)
        }
    }

    private fun openCamera() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            if (model.state.camera != CameraState.DENIED) model.onCamera(CameraState.ASK_PERMISSION)
            return
        }
        isCameraOpen = true
        model.onCamera(CameraState.OPEN)
        controls = model.state.controls
        camera.open(controls, this)
    }

    override fun onFrame(frame: Frame) = model.onFrame(frame)

    override fun onTraits(traits: CameraTraits) = model.onTraits(traits)

    override fun onProblem(problem: CameraProblem) {
        isCameraOpen = false
        model.onCamera(
            when (problem) {
                CameraProblem.NO_CAMERA -> CameraState.NO_CAMERA
                CameraProblem.IN_USE -> CameraState.IN_USE
                CameraProblem.FAILED -> if (model.dependencies.phone.isHot()) CameraState.TOO_HOT else CameraState.FAILED
            },
        )
    }

    override fun onAvailable() {
        if (model.state.camera in RETRIED) reopenCamera()
    }

    private fun closeCamera() {
        if (!isCameraOpen && model.state.camera !in RETRIED) return
        isCameraOpen = false
        camera.close()
        model.onCamera(CameraState.OFF)
    }

    /** A turn by 180 degrees recreates nothing and changes no view. */
    override fun onDisplayChanged(displayId: Int) = camera.turned()
    override fun onDisplayAdded(displayId: Int) = Unit
    override fun onDisplayRemoved(displayId: Int) = Unit

    override fun reopenCamera() = model.onCamera(CameraState.OFF)

    override fun allowCamera() = requestPermissions(arrayOf(Manifest.permission.CAMERA), CAMERA)

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<out String>, grantResults: IntArray) {
        if (requestCode != CAMERA || grantResults.isEmpty()) return
        model.onCamera(if (grantResults[0] == PackageManager.PERMISSION_GRANTED) CameraState.OFF else CameraState.DENIED)
    }

    override fun openSystemSettings() =
        startActivity(Intent(android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))

    // --- other apps

    override fun chooseBundle() {
        // Zips have several MIME types, or none. The picker begins in Download, where `mvlm push` copies them.
        val downloads = DocumentsContract.buildDocumentUri("com.android.externalstorage.documents", "primary:Download")
        val document = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        request(BUNDLE, document.putExtra(DocumentsContract.EXTRA_INITIAL_URI, downloads))
    }

    override fun pickPhoto() {
        val document = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        // Part of the system since API 33, and brought to API 30 and above by its updates.
        if (Build.VERSION.SDK_INT < 30) return request(PHOTO, document)
        request(PHOTO, Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*"), document)
    }

    /** Starts the first of [intents] that the phone supports. */
    private fun request(code: Int, vararg intents: Intent) {
        for (intent in intents) {
            try {
                return startActivityForResult(intent, code)
            } catch (_: ActivityNotFoundException) {
                continue
            }
        }
        toast(R.string.no_picker)
    }

    override val canDictate by lazy { packageManager.resolveActivity(recognition(), 0) != null }

    // The model knows English only.
    private fun recognition() = Intent(RecognizerIntent.ACTION_RECOGNIZE_SPEECH)
        .putExtra(RecognizerIntent.EXTRA_LANGUAGE_MODEL, RecognizerIntent.LANGUAGE_MODEL_FREE_FORM)
        .putExtra(RecognizerIntent.EXTRA_LANGUAGE, "en-US")

    override fun dictate() = request(SPEECH, recognition())

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        if (requestCode == SPEECH) {
            val said = data?.getStringArrayListExtra(RecognizerIntent.EXTRA_RESULTS)?.firstOrNull()
            if (said != null) (shown as? ChatScreen)?.dictated(said)
            return
        }
        val uri = data?.data ?: return
        if (resultCode != RESULT_OK) return
        when (requestCode) {
            BUNDLE -> model.import(uri)
            PHOTO -> model.pick(uri)
        }
    }

    override fun speak(text: String) = if (model.state.speaking == text) speaker.stop() else speaker.speak(text)

    private fun toast(text: Int) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    override fun copy(text: String) {
        getSystemService(ClipboardManager::class.java).setPrimaryClip(ClipData.newPlainText(getString(R.string.app_name), text))
        if (Build.VERSION.SDK_INT < 33) toast(R.string.copied) // newer systems show it themselves
    }

    override fun share(turn: ChatTurn) {
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, StateTexts(ui).transcript(listOf(turn)))
        startActivity(Intent.createChooser(send, null))
    }

    override fun shareConversation() {
        val text = StateTexts(ui).transcript(model.state.session.turns)
        model.pictures.write { CaptureProvider.share(this, it, CaptureProvider.PICTURE, text) }
    }

    override fun shareCapture(name: String) = CaptureProvider.share(this, name, CaptureProvider.ZIP)

    companion object {
        /** An extra of `mvlm push`: show the file picker. */
        const val CHOOSE_MODEL = "choose_model"

        /** The action of live mode's shortcut. */
        const val LIVE = "org.mobilevlmkit.app.LIVE"
        private const val CAMERA = 1
        private const val BUNDLE = 2
        private const val PHOTO = 3
        private const val SPEECH = 4
        private const val KEEP_SCREEN_ON = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON

        /** States that another app's use of the camera may have led to, and that end with it. */
        private val RETRIED = setOf(CameraState.IN_USE, CameraState.TOO_HOT, CameraState.FAILED)

        /** States in which the camera is opened automatically. */
        private val REOPENED = setOf(CameraState.OFF, CameraState.ASK_PERMISSION, CameraState.DENIED)
    }
}
