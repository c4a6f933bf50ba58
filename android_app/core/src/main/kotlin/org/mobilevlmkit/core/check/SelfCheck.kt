package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.ContextFullException
import org.mobilevlmkit.core.session.Conversation
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.LoadedModel
import java.io.File

/** Whether this phone gave the same for one stage of one golden record. [stage] is called as in `mvlm replay`. */
data class Finding(val picture: String, val stage: String, val same: Boolean, val detail: String) {
    /** One line for the screen. */
    val line: String get() = "${if (same) "✓" else "✗"} $picture: $stage: $detail"
}

/** "Check this phone": the bundle's golden records computed here, and what differs. */
class SelfCheck(private val model: LoadedModel, private val decode: (File) -> Picture) {
    /**
     * Runs every record, telling each [onFinding] as it comes; [job] counts records. The engine is left with no conversation.
     *
     * @param decode a picture's file, PNG, as RGB without any colour management
     * @throws org.mobilevlmkit.core.CaptureException the bundle has no records.
     * @throws java.util.concurrent.CancellationException [job] was cancelled.
     */
    fun run(job: Job, onFinding: (Finding) -> Unit = {}): List<Finding> {
        val records = GoldenRecords.read(model.folder, model.manifest)
        val findings = ArrayList<Finding>()
        records.forEachIndexed { done, golden ->
            job.step(done.toLong(), records.size.toLong())
            for (finding in check(golden, job)) {
                findings.add(finding)
                onFinding(finding)
            }
        }
        job.step(records.size.toLong(), records.size.toLong())
        return findings
    }

    private fun check(golden: GoldenRecord, job: Job): List<Finding> {
        val record = golden.record
        val pixels = model.square.of(decode(golden.picture))
        val ids = PromptIds(model).let { it.before + it.after(record.question) }
        val expectedIds = record.idsBeforeImage + record.idsAfterImage
        return listOf(
            compared(golden.name, "preprocessing", Sha256.of(pixels), record.pixelsSha256, "the same pixels"),
            compared(golden.name, "tokenizer", ids, expectedIds, "the same ${ids.size} ids"),
            answer(golden.name, record, pixels, job),
        )
    }

    private fun <T> compared(picture: String, stage: String, got: T, expected: T, same: String): Finding {
        val detail = if (got == expected) same else "got ${"$got".take(40)}…, expected ${"$expected".take(40)}…"
        return Finding(picture, stage, got == expected, detail)
    }

    private fun answer(picture: String, record: Record, pixels: ByteArray, job: Job): Finding {
        val answered = try {
            val conversation = Conversation(model)
            conversation.look(pixels)
            conversation.answer(emptyList(), record.question, record.maxNewTokens, { job.isCancelled }) {}
        } catch (_: ContextFullException) {
            return Finding(picture, "decoder", false, "the question and its answer don't fit the context")
        } catch (error: Exception) {
            return Finding(picture, "decoder", false, "the engine failed: ${(error.message ?: "$error").lineSequence().first()}")
        }
        if (job.isCancelled) job.step(0, 0)
        val text = answered?.text ?: ""
        val reason = answered?.ended?.reason
        val at = text.commonPrefixWith(record.answer).length
        val detail = when {
            text != record.answer -> "from character ${at + 1}: got '${text.drop(at).take(20)}', expected '${record.answer.drop(at).take(20)}'"
            reason != record.stopReason -> "the same answer, but it ended by $reason, expected ${record.stopReason}"
            else -> "the same answer"
        }
        return Finding(picture, "decoder", text == record.answer && reason == record.stopReason, detail)
    }
}

/** As records call it. */
val Ended.reason: String
    get() = when (this) {
        Ended.COMPLETE -> "eos"
        Ended.LENGTH -> "length"
        Ended.STOPPED, Ended.FAILED -> "stopped"
    }
