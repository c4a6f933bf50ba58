package org.mobilevlmkit.core.check

import org.mobilevlmkit.core.Job
import org.mobilevlmkit.core.bundle.Sha256
import org.mobilevlmkit.core.live.Thermal
import org.mobilevlmkit.core.pixels.Picture
import org.mobilevlmkit.core.session.Answer
import org.mobilevlmkit.core.session.ContextFullException
import org.mobilevlmkit.core.session.Conversation
import org.mobilevlmkit.core.session.Ended
import org.mobilevlmkit.core.session.LoadedModel
import java.io.File

/** Whether one stage of one golden record gave the same result on this phone. [stage] has the name used by `mvlm replay`. */
data class Finding(val picture: String, val stage: String, val same: Boolean, val detail: String) {
    /** One line for the screen. */
    val line: String get() = "${if (same) "✓" else "✗"} $picture: $stage: $detail"
}

/** The result of one golden record on this phone: its [findings], and the data for a capture. */
class CheckedRecord internal constructor(
    val golden: GoldenRecord,
    val picture: Picture,
    val pixels: ByteArray,
    val findings: List<Finding>,
    internal val answered: Answer?,
) {
    val same: Boolean get() = findings.all { it.same }
}

/** The result of "Check this phone". */
class CheckReport(val records: List<CheckedRecord>, val measurements: Measurements) {
    val findings: List<Finding> get() = records.flatMap { it.findings }

    /** Whether everything matches the desktop. */
    val same: Boolean get() = records.all { it.same }

    /** The most informative record for a capture: the first that differs, else the first. Null if none was answered. */
    val mostInformative: CheckedRecord? get() {
        val answered = records.filter { it.answered != null }
        return answered.firstOrNull { !it.same } ?: answered.firstOrNull()
    }

    /**
     * The capture of [record], which is in this report, for `mvlm replay` on a desktop.
     *
     * @param methods the program's methods; if memory is short, [LoadedModel.release] the engine before opening them
     * @param device facts about the phone, as JSON values
     * @throws org.mobilevlmkit.core.EngineException the methods fail.
     */
    fun capture(record: CheckedRecord, model: LoadedModel, methods: ModelMethods, device: Map<String, Any?>): Capture {
        val answered = requireNotNull(record.answered) { "${record.golden.name}: got no answer" }
        val asked = record.golden.record
        val maker = RecordMaker(model, methods)
        val made = maker.make(record.pixels, asked.question, asked.maxNewTokens, answered.text, answered.ids, answered.ended)
        return Capture(model.manifest, made, record.pixels, record.picture, device, measurements.toJson())
    }
}

/**
 * "Check this phone": computes the bundle's golden records, compares the results, and measures speed. Run by
 * [org.mobilevlmkit.core.session.VlmSession.check].
 *
 * @param decode decodes a PNG file to RGB without color management
 * @param thermal how warm the phone is now
 */
class SelfCheck(
    private val model: LoadedModel,
    private val decode: (File) -> Picture,
    private val thermal: () -> Thermal = { Thermal.NONE },
    private val nanoTime: () -> Long = System::nanoTime,
) {
    /**
     * Runs every record and reports each finding to [onFinding]; [job] counts records. Leaves the engine without a conversation.
     *
     * @throws org.mobilevlmkit.core.CaptureException the bundle has no records.
     * @throws java.util.concurrent.CancellationException [job] was cancelled.
     */
    fun run(job: Job, onFinding: (Finding) -> Unit = {}): CheckReport {
        val golden = GoldenRecords.read(model.folder, model.manifest)
        val timer = MeasurementTimer(model.loadS, thermal(), nanoTime)
        val records = golden.mapIndexed { done, record ->
            job.step(done.toLong(), golden.size.toLong())
            check(record, timer, job, onFinding)
        }
        job.step(golden.size.toLong(), golden.size.toLong())
        return CheckReport(records, timer.finish(thermal()))
    }

    private fun check(golden: GoldenRecord, timer: MeasurementTimer, job: Job, onFinding: (Finding) -> Unit): CheckedRecord {
        val record = golden.record
        val findings = ArrayList<Finding>()
        fun find(stage: String, same: Boolean, detail: String) = Finding(golden.name, stage, same, detail).let {
            findings.add(it)
            onFinding(it)
        }
        fun <T> compare(stage: String, got: T, expected: T, same: String) =
            find(stage, got == expected, if (got == expected) same else "got ${"$got".take(40)}…, expected ${"$expected".take(40)}…")

        val picture = decode(golden.picture)
        val pixels = model.pixels(picture)
        compare("preprocessing", Sha256.of(pixels), record.pixelsSha256, "the same pixels")
        val ids = PromptIds(model).let { it.before + it.after(record.question) }
        compare("tokenizer", ids, record.idsBeforeImage + record.idsAfterImage, "the same ${ids.size} ids")
        val answered = try {
            answer(record, pixels, timer, job)
        } catch (_: ContextFullException) {
            find("decoder", false, "the question and its answer don't fit the context")
            return CheckedRecord(golden, picture, pixels, findings, null)
        } catch (error: Exception) {
            find("decoder", false, "the engine failed: ${(error.message ?: "$error").lineSequence().first()}")
            return CheckedRecord(golden, picture, pixels, findings, null)
        }
        if (job.isCancelled) job.step(0, 0)
        val difference = difference(answered, record)
        find("decoder", difference == null, difference ?: "the same answer")
        return CheckedRecord(golden, picture, pixels, findings, answered)
    }

    private fun answer(record: Record, pixels: ByteArray, timer: MeasurementTimer, job: Job): Answer {
        val conversation = Conversation(model, nanoTime)
        conversation.start(pixels)
        timer.asked(conversation.imageS)
        val answered = conversation.answer(emptyList(), record.question, record.maxNewTokens, { job.isCancelled }) { timer.token() }
        return answered?.also { timer.answered(it.tokens) } ?: Answer("", 0, emptyList(), Ended.STOPPED)
    }

    private fun difference(answered: Answer, record: Record): String? {
        val (text, ids) = answered.text to answered.ids
        val at = text.commonPrefixWith(record.answer).length
        return when {
            text != record.answer -> {
                val (got, expected) = listOf(text, record.answer).map { it.drop(at).take(20) }
                "from character ${at + 1}: got '$got', expected '$expected'"
            }
            ids != null && record.answerIds != null && ids != record.answerIds -> "the same answer in other tokens"
            answered.ended.reason != record.stopReason ->
                "the same answer, but it ended by ${answered.ended.reason}, expected ${record.stopReason}"
            else -> null
        }
    }
}

/** The name in records. */
val Ended.reason: String
    get() = when (this) {
        Ended.COMPLETE -> "eos"
        Ended.LENGTH -> "length"
        Ended.STOPPED, Ended.FAILED -> "stopped"
    }
