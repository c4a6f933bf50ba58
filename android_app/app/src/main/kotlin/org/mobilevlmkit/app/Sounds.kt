package org.mobilevlmkit.app

import android.content.Context
import android.media.AudioAttributes
import android.media.AudioFocusRequest
import android.media.AudioFormat
import android.media.AudioManager
import android.media.AudioTrack
import android.os.Handler
import android.os.Looper
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * The right to be heard for a moment, while other apps play more softly. For the main thread.
 *
 * @param onLoss another app takes it, such as for a call
 */
class SoundFocus(context: Context, attributes: AudioAttributes, onLoss: () -> Unit) {
    private val manager = context.getSystemService(AudioManager::class.java)
    private val request = AudioFocusRequest.Builder(AudioManager.AUDIOFOCUS_GAIN_TRANSIENT_MAY_DUCK)
        .setAudioAttributes(attributes)
        .setOnAudioFocusChangeListener { if (it < 0 && it != AudioManager.AUDIOFOCUS_LOSS_TRANSIENT_CAN_DUCK) onLoss() }
        .build()

    /** Returns whether it is given; it isn't during a call. */
    fun take(): Boolean = manager.requestAudioFocus(request) == AudioManager.AUDIOFOCUS_REQUEST_GRANTED

    fun give() {
        manager.abandonAudioFocusRequest(request)
    }
}

/** Plays [Earcon]s as loud as the phone's own sounds, so not on a muted phone. For the main thread. */
class Sounds(context: Context) {
    private val attributes = AudioAttributes.Builder()
        .setUsage(AudioAttributes.USAGE_ASSISTANCE_SONIFICATION)
        .setContentType(AudioAttributes.CONTENT_TYPE_SONIFICATION)
        .build()
    private val focus = SoundFocus(context, attributes, ::end)
    private val main = Handler(Looper.getMainLooper())
    private var track: AudioTrack? = null

    /** Plays [earcon] instead of what is playing, unless another app must not be disturbed. */
    fun play(earcon: Earcon) {
        end()
        if (!focus.take()) return
        try {
            track = playing(earcon.samples())
        } catch (_: RuntimeException) {
            // The phone has no free output.
        }
        main.postDelayed(::end, earcon.ms + TAIL_MS)
    }

    private fun playing(samples: ShortArray): AudioTrack {
        val bytes = ByteBuffer.allocate(samples.size * Short.SIZE_BYTES).order(ByteOrder.nativeOrder())
        bytes.asShortBuffer().put(samples)
        val format = AudioFormat.Builder()
            .setEncoding(AudioFormat.ENCODING_PCM_16BIT)
            .setSampleRate(Earcon.RATE)
            .setChannelMask(AudioFormat.CHANNEL_OUT_MONO)
            .build()
        val made = AudioTrack.Builder()
            .setAudioAttributes(attributes)
            .setAudioFormat(format)
            .setTransferMode(AudioTrack.MODE_STATIC)
            .setBufferSizeInBytes(bytes.capacity())
            .build()
        made.write(bytes.array(), 0, bytes.capacity())
        made.play()
        return made
    }

    private fun end() {
        main.removeCallbacksAndMessages(null)
        track?.release()
        track = null
        focus.give()
    }

    private companion object {
        /** What the output may be late by. */
        const val TAIL_MS = 200L
    }
}
