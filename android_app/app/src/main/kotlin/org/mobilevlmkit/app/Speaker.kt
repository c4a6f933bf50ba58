package org.mobilevlmkit.app

import android.content.Context
import android.media.AudioAttributes
import android.os.Handler
import android.os.Looper
import android.speech.tts.TextToSpeech
import android.speech.tts.UtteranceProgressListener
import java.util.Locale

/**
 * Reads answers aloud with the phone's voices. For the main thread.
 *
 * @param onSpeaking receives the text being spoken, and null when it has ended
 * @param onNoVoice the phone has no voice, or none for the text's language
 */
class Speaker(private val context: Context, private val onSpeaking: (String?) -> Unit, private val onNoVoice: () -> Unit) {
    private val main = Handler(Looper.getMainLooper())
    private val focus = SoundFocus(context, AudioAttributes.Builder().setUsage(AudioAttributes.USAGE_MEDIA).build(), ::stop)
    private var voice: TextToSpeech? = null
    private var isReady = false
    private var toSpeak: String? = null
    private var spoken = 0 // counts texts; the end of an earlier one is ignored

    fun speak(text: String) {
        toSpeak = text
        if (isReady) {
            say()
        } else if (voice == null) {
            voice = TextToSpeech(context, ::onInit)
        }
    }

    fun stop() {
        toSpeak = null
        spoken++
        voice?.stop()
        focus.give()
        onSpeaking(null)
    }

    fun close() {
        stop()
        voice?.shutdown()
        voice = null
        isReady = false
    }

    private fun onInit(status: Int) {
        if (status == TextToSpeech.SUCCESS) {
            isReady = true
            say()
        } else {
            voice = null // one may be installed later
            onNoVoice()
        }
    }

    private fun say() {
        val text = toSpeak ?: return
        val speaking = voice ?: return
        toSpeak = null
        val isHan = text.any { Character.UnicodeScript.of(it.code) == Character.UnicodeScript.HAN }
        val isKnown = speaking.setLanguage(if (isHan) Locale.SIMPLIFIED_CHINESE else Locale.ENGLISH) >= TextToSpeech.LANG_AVAILABLE
        val mine = "${++spoken}"
        speaking.setOnUtteranceProgressListener(EndListener(mine))
        if (!isKnown) return onNoVoice()
        if (!focus.take()) return // such as during a call
        if (speaking.speak(text, TextToSpeech.QUEUE_FLUSH, null, mine) == TextToSpeech.SUCCESS) return onSpeaking(text)
        focus.give()
        onNoVoice()
    }

    /** Reports the end of the text [mine]; called on a thread of the speech engine. */
    private inner class EndListener(private val mine: String) : UtteranceProgressListener() {
        override fun onStart(id: String) = Unit

        override fun onDone(id: String) = ended(id)

        @Deprecated("by the system")
        override fun onError(id: String) = ended(id)

        private fun ended(id: String) {
            main.post {
                if (id != mine || mine != "$spoken") return@post
                focus.give()
                onSpeaking(null)
            }
        }
    }
}
