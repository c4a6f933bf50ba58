package org.mobilevlmkit.app

import android.media.AudioManager
import android.speech.tts.TextToSpeech
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotSame
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowTextToSpeech
import org.robolectric.shadows.ShadowToast
import java.util.Locale

/** Answers read aloud. */
class SpeakerTest : AppTestCase() {
    private val voice get() = shadowOf(checkNotNull(ShadowTextToSpeech.getLastTextToSpeechInstance()))

    private val audio get() = shadowOf(driver.app.getSystemService(AudioManager::class.java))

    @Before
    fun answered() {
        ShadowTextToSpeech.addLanguageAvailability(Locale.ENGLISH)
        ShadowTextToSpeech.addLanguageAvailability(Locale.SIMPLIFIED_CHINESE)
        driver.seen()
        driver.ask("What is this?")
    }

    private fun press(label: Int) = driver.press(driver.string(label))

    /** Reports whether the system's voices are ready. */
    private fun ready(status: Int = TextToSpeech.SUCCESS) = voice.onInitListener.onInit(status)

    @Test
    fun nothingIsReadAloudAutomatically() = assertNull(ShadowTextToSpeech.getLastTextToSpeechInstance())

    @Test
    fun theAnswerIsSpokenUntilItsEnd() {
        press(R.string.speak_label)
        ready()
        assertEquals("yes" to Locale.ENGLISH, voice.lastSpokenText to voice.currentLanguage)
        assertTrue(driver.find(driver.string(R.string.speak_end_label)) != null)
        driver.dependencies.settle() // it ends
        assertNull(driver.state.speaking)
        press(R.string.speak_label)
        assertEquals(listOf("yes", "yes"), voice.spokenTextList)
    }

    @Test
    fun otherAppsPlayMoreSoftlyMeanwhileAndACallStopsIt() {
        press(R.string.speak_label)
        ready()
        val asked = checkNotNull(audio.lastAudioFocusRequest)
        assertEquals(AudioManager.AUDIOFOCUS_GAIN_TRANSIENT_MAY_DUCK, asked.durationHint)
        asked.listener.onAudioFocusChange(AudioManager.AUDIOFOCUS_LOSS_TRANSIENT)
        assertTrue(voice.isStopped)
        assertNull(driver.state.speaking)
        assertEquals(asked.audioFocusRequest, audio.lastAbandonedAudioFocusRequest)
        audio.setNextFocusRequestResponse(AudioManager.AUDIOFOCUS_REQUEST_FAILED)
        press(R.string.speak_label)
        assertEquals(1, voice.spokenTextList.size)
    }

    @Test
    fun speakingIsStoppedByTheSameButton() {
        press(R.string.speak_label)
        ready()
        press(R.string.speak_end_label)
        assertTrue(voice.isStopped)
        assertTrue(driver.find(driver.string(R.string.speak_label)) != null)
        assertNull(driver.state.speaking)
    }

    @Test
    fun theEndOfAStoppedAnswerDoesNotCountForTheNext() {
        press(R.string.speak_label)
        ready()
        val first = voice.utteranceProgressListener
        press(R.string.speak_end_label)
        driver.idle()
        press(R.string.speak_label)
        ShadowTextToSpeech.getLastTextToSpeechInstance().setOnUtteranceProgressListener(null) // the second one doesn't end
        @Suppress("DEPRECATION")
        first.onError("1")
        driver.idle()
        assertEquals("yes", driver.state.speaking)
    }

    @Test
    fun leavingStopsIt() {
        press(R.string.speak_label)
        ready()
        driver.controller.pause().stop()
        assertTrue(voice.isStopped)
        assertNull(driver.state.speaking)
    }

    @Test
    fun anotherPictureStopsIt() {
        press(R.string.speak_label)
        ready()
        press(R.string.new_picture)
        assertTrue(voice.isStopped)
    }

    @Test
    fun aMissingVoiceIsReportedEachTimeAndOneInstalledLaterIsUsed() {
        press(R.string.speak_label)
        ready(TextToSpeech.ERROR)
        assertEquals(driver.string(R.string.speak_failed), ShadowToast.getTextOfLatestToast())
        ShadowToast.reset()
        val first = ShadowTextToSpeech.getLastTextToSpeechInstance()
        press(R.string.speak_label)
        assertNotSame(first, ShadowTextToSpeech.getLastTextToSpeechInstance())
        ready(TextToSpeech.ERROR)
        assertEquals(driver.string(R.string.speak_failed), ShadowToast.getTextOfLatestToast())
        press(R.string.speak_label)
        ready()
        assertEquals("yes", voice.lastSpokenText)
    }

    @Test
    fun aLanguageWithoutAVoiceIsReported() {
        ShadowTextToSpeech.reset()
        press(R.string.speak_label)
        ready()
        assertEquals(driver.string(R.string.speak_failed), ShadowToast.getTextOfLatestToast())
        assertNull(voice.lastSpokenText)
        assertNull(driver.state.speaking)
    }

    @Test
    fun aChineseAnswerIsSpokenInChinese() {
        driver.engine.answers = { listOf("红", "色", "</s>") }
        driver.ask("And in Chinese?")
        driver.views().last { it.contentDescription == driver.string(R.string.speak_label) }.performClick()
        ready()
        assertEquals("红色" to Locale.SIMPLIFIED_CHINESE, voice.lastSpokenText to voice.currentLanguage)
    }

    @Test
    fun theVoiceIsReleased() {
        press(R.string.speak_label)
        ready()
        driver.controller.pause().stop().destroy()
        assertTrue(voice.isShutdown)
    }
}
