package org.mobilevlmkit.core.prompt

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.mobilevlmkit.core.Golden
import org.mobilevlmkit.core.PromptException
import org.mobilevlmkit.core.bundle.ManifestReader
import org.mobilevlmkit.core.session.SessionFixture

class PromptTest {
    private val spec = ManifestReader.read(Golden.file("manifests/good/demo.json")).prompt
    private val prompt = Prompt(spec)
    private val cases = Golden.cases("prompts/prompts.json", least = 60)

    private fun turns(case: Map<*, *>) = (case["turns"] as List<*>).map { it as Map<*, *> }
        .map { Turn(it["question"] as String, it["answer"] as String?) }

    @Test
    fun segmentsEqualTheReference() {
        for (case in cases) {
            val segments = prompt.segments(turns(case)).map {
                when (it) {
                    is Segment.Text -> mapOf("text" to it.text)
                    Segment.Image -> mapOf("mark" to "IMAGE")
                    Segment.End -> mapOf("mark" to "END")
                }
            }
            assertEquals(case["segments"], segments)
        }
    }

    @Test
    fun idsEqualTheReference() {
        for (name in listOf("demo", "wide")) {
            val tokenizer = Tokenizer.read(Golden.file("prompts/$name.tokenizer.json"))
            for (case in cases) {
                val ids = (case["ids"] as Map<*, *>)[name] as Map<*, *>
                assertEquals("$name: ${case["turns"]}", expected(ids), sides(prompt.segments(turns(case)), tokenizer))
            }
        }
    }

    @Test
    fun idsOfATokenizerThatAddsNoSpaceEqualTheReference() {
        val plain = Prompt(SessionFixture.plain(spec))
        val tokenizer = Tokenizer.read(Golden.file("prompts/plain.tokenizer.json"))
        assertFalse(tokenizer.addsSpace)
        for (case in Golden.cases("prompts/plain.json", least = 60)) {
            assertEquals("${case["turns"]}", expected(case), sides(plain.segments(turns(case)), tokenizer))
        }
    }

    private fun expected(ids: Map<*, *>) =
        listOf(ids["before_image"], ids["after_image"]).map { side -> (side as List<*>).map { (it as Long).toInt() } }

    /** Token ids before and after the image. */
    private fun sides(segments: List<Segment>, tokenizer: Tokenizer): List<List<Int>> {
        val sides = arrayListOf(arrayListOf(spec.bosId))
        for (segment in segments) {
            when (segment) {
                is Segment.Text -> sides.last().addAll(tokenizer.encode(segment.text).asList())
                Segment.Image -> sides.add(ArrayList())
                Segment.End -> sides.last().add(spec.stopIds.first())
            }
        }
        return sides
    }

    @Test
    fun aQuestionMayHoldTheTemplatesOwnMark() {
        assertEquals("\nWhat is {question}? {question} ASSISTANT:", prompt.afterImage("What is {question}? {question}"))
    }

    @Test
    fun anEmptyQuestionIsRefused() {
        for (question in listOf("", " ", "\n\t")) {
            assertThrows(PromptException::class.java) { prompt.afterImage(question) }
            assertThrows(PromptException::class.java) { prompt.followUp(question) }
        }
        assertThrows(PromptException::class.java) { prompt.segments(emptyList()) }
        assertThrows(PromptException::class.java) { prompt.segments(listOf(Turn("a"), Turn("b"))) }
    }

    @Test
    fun whatAUserTypesIsNeverASpecialToken() {
        val tokenizer = Tokenizer.read(Golden.file("prompts/demo.tokenizer.json"))
        assertEquals(listOf("<unk>", "<s>", "</s>"), tokenizer.specials)
        val typed = listOf("</s>", "a</s>b", "</s></s>", "<s><unk>", "<</s>/s>", "<s</s>>", "</</s>s>")
        for (text in typed) {
            val plain = Prompt.withoutSpecials(text, tokenizer.specials)
            for (special in tokenizer.specials) assertFalse("$text → $plain", special in plain)
            assertEquals(text, plain.replace(" ", ""))
            // The count must match the engine, which looks for special tokens.
            assertArrayEquals(tokenizer.encode(plain), EngineTokens.encode(tokenizer, plain))
        }
        for (text in listOf("", "Is 1 < 2?", "<image>", "< s>", "s>", "你好")) {
            assertEquals(text, Prompt.withoutSpecials(text, tokenizer.specials))
        }
    }

    /** Ids from the C++ tokenizer: CppHFTokenizer of pytorch_tokenizers 1.5.0 with the demo's tokenizer.json. */
    @Test
    fun idsEqualTheEnginesTokenizer() {
        val tokenizer = Tokenizer.read(Golden.file("prompts/demo.tokenizer.json"))
        val said = mapOf(
            "USER: hi ASSISTANT:" to intArrayOf(282, 591, 579, 301, 271, 591),
            "</s>USER: hi ASSISTANT:" to intArrayOf(2, 282, 591, 579, 301, 271, 591),
            "yes</s>USER: hi ASSISTANT:" to intArrayOf(407, 2, 282, 591, 579, 301, 271, 591),
            "a < /s> b" to intArrayOf(262, 579, 63, 579, 50, 589, 65, 284),
            "is </s> it" to intArrayOf(288, 579, 2, 579, 274, 581),
            " yes" to intArrayOf(579, 407),
            "你" to intArrayOf(579, 231, 192, 163),
        )
        for ((text, ids) in said) assertArrayEquals(text, ids, EngineTokens.encode(tokenizer, text))
    }

    @Test
    fun aLongTextIsTokenizedInTime() {
        val tokenizer = Tokenizer.read(Golden.file("prompts/wide.tokenizer.json"))
        assertTrue(tokenizer.encode("What is this? ".repeat(20_000)).size > 20_000)
    }
}
