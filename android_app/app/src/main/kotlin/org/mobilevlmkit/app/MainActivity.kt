package org.mobilevlmkit.app

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Rect
import android.hardware.display.DisplayManager
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.provider.DocumentsContract
import android.provider.MediaStore
import android.view.View
import android.view.WindowManager
import android.widget.FrameLayout
import android.widget.Toast
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
    private var screen: Screen? = null
    private var shown: ScreenView? = null
    private var covered = Rect() // by the system's bars and the keyboard
    private val back = BackGesture(this) { model.back() }
    private var isStarted = false
    private var isCameraOpen = false

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
        model.observer = ::render
        render(model.state)
        if (savedInstanceState == null) follow(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        follow(intent)
    }

    /** Does what another program asked for: `mvlm push` has copied a bundle. */
    private fun follow(intent: Intent) {
        if (intent.getBooleanExtra(CHOOSE_MODEL, false)) chooseBundle()
    }

    override fun onStart() {
        super.onStart()
        isStarted = true
        getSystemService(DisplayManager::class.java).registerDisplayListener(this, null)
        model.onStart()
        render(model.state)
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
        if (model.observer == ::render) model.observer = null
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
            SystemBars.apply(this, isOverCamera = false)
        }
        (shown as? ChatScreen)?.picture?.place(camera.preview)
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
    private fun inset() = frame.setPadding(covered.left, covered.top, covered.right, covered.bottom)

    private fun build(screen: Screen): ScreenView = when (screen) {
        Screen.WELCOME -> WelcomeScreen(ui, model, this)
        Screen.CHAT -> ChatScreen(ui, model, this)
        Screen.BUNDLES -> BundlesScreen(ui, model, this)
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
        }
    }

    private fun openCamera() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            if (model.state.camera != CameraState.DENIED) model.onCamera(CameraState.ASK_PERMISSION)
            return
        }
        isCameraOpen = true
        model.onCamera(CameraState.OPEN)
        camera.open(model.state.controls, this)
    }

    override fun onFrame(frame: Frame) = model.onFrame(frame)

    override fun onTraits(traits: CameraTraits) = model.onTraits(traits)

    override fun onProblem(problem: CameraProblem) {
        isCameraOpen = false
        model.onCamera(
            when (problem) {
                CameraProblem.NO_CAMERA -> CameraState.NO_CAMERA
                CameraProblem.IN_USE -> CameraState.IN_USE
                CameraProblem.FAILED -> CameraState.FAILED
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
        if (Build.VERSION.SDK_INT < 33) return request(PHOTO, document)
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

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data ?: return
        if (resultCode != RESULT_OK) return
        when (requestCode) {
            BUNDLE -> model.import(uri)
            PHOTO -> model.pick(uri)
        }
    }

    override fun speak(text: String) = if (model.state.speaking == text) speaker.stop() else speaker.speak(text)

    private fun toast(text: Int) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    override fun share(capture: String) = CaptureProvider.share(this, capture)

    companion object {
        /** An extra of `mvlm push`: show the file picker. */
        const val CHOOSE_MODEL = "choose_model"
        private const val CAMERA = 1
        private const val BUNDLE = 2
        private const val PHOTO = 3
        private const val KEEP_SCREEN_ON = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON

        /** States that another app's use of the camera may have led to, and that end with it. */
        private val RETRIED = setOf(CameraState.IN_USE, CameraState.FAILED)

        /** States in which the camera is opened automatically. */
        private val REOPENED = setOf(CameraState.OFF, CameraState.ASK_PERMISSION, CameraState.DENIED)
    }
}
