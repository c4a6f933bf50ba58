package org.mobilevlmkit.app

import android.content.Context
import android.speech.tts.TextToSpeech
import java.util.Locale

/** Speaks answers on request, with the phone's own voices. */
class Speaker(private val context: Context, private val onNoVoice: () -> Unit) {
    private var voice: TextToSpeech? = null
    private var isReady = false
    private var waiting: String? = null

    fun speak(text: String) {
        waiting = text
        if (voice == null) {
            voice = TextToSpeech(context) { status ->
                isReady = status == TextToSpeech.SUCCESS
                if (isReady) sayWaiting() else onNoVoice()
            }
        } else if (isReady) {
            sayWaiting()
        }
    }

    fun close() {
        voice?.shutdown()
        voice = null
        isReady = false
    }

    private fun sayWaiting() {
        val text = waiting ?: return
        waiting = null
        val speaking = voice ?: return
        val isHan = text.any { Character.UnicodeScript.of(it.code) == Character.UnicodeScript.HAN }
        val isSpoken = speaking.setLanguage(if (isHan) Locale.SIMPLIFIED_CHINESE else Locale.ENGLISH) >= TextToSpeech.LANG_AVAILABLE
        if (isSpoken) speaking.speak(text, TextToSpeech.QUEUE_FLUSH, null, "answer") else onNoVoice()
    }
}
