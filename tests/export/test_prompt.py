"""The prompt's ids are the reference's: LLaVA's tokenizer_image_token over transformers' slow LLaMA tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
from transformers import LlamaTokenizer

from mobilevlm_export import prompt
from mobilevlm_export.errors import PromptError
from mobilevlm_export.prompt import IMAGE, Turn
from mobilevlm_export.tokenizer import Tokenizer, checkpoint_tokenizer

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def _reference(model: Path, text: str) -> list[int | str]:
    """Ids of ``text`` as in published code: split at <image> and at special tokens, with each text encoded separately."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids: list[int | str] = [1]
    for index, chunk in enumerate(text.split("<image>")):
        if index:
            ids.append("<image>")
        for position, part in enumerate(chunk.split("</s>")):
            if position:
                ids.append(2)
            if part:
                ids += processor.encode(part)
    return ids


def _transformers(folder: Path, text: str, *, legacy: bool) -> list[int | str]:
    """Ids of ``text`` from transformers' LLaMA tokenizer for the checkpoint in ``folder``, split at <image> as in published code."""
    tokenizer = LlamaTokenizer.from_pretrained(folder, legacy=legacy)
    ids: list[int | str] = [1]
    for index, chunk in enumerate(text.split("<image>")):
        ids += [*(["<image>"] if index else []), *tokenizer(chunk, add_special_tokens=False).input_ids]
    return ids


def _flat(segments: list[prompt.IdSegment]) -> list[int | str]:
    flat: list[int | str] = []
    for segment in segments:
        flat += ["<image>"] if segment is IMAGE else list(segment)  # type: ignore[arg-type]
    return flat


@pytest.mark.parametrize(
    "question", ["What is this?", "  two  spaces ", "这是什么？", "a\nb", "😀", "Answer yes or no."]
)
def test_one_question(tiny_tokenizer_model: Path, question: str) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    text = f"{SYSTEM} USER: <image>\n{question} ASSISTANT:"
    assert _flat(prompt.encode_segments(tokenizer, [Turn(question)])) == _reference(tiny_tokenizer_model, text)


def test_several_turns(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    turns = [Turn("What is this?", "a red circle"), Turn("How many?", "2 squares"), Turn("Why?")]
    text = (
        f"{SYSTEM} USER: <image>\nWhat is this? ASSISTANT: a red circle</s>"
        "USER: How many? ASSISTANT: 2 squares</s>USER: Why? ASSISTANT:"
    )
    assert _flat(prompt.encode_segments(tokenizer, turns)) == _reference(tiny_tokenizer_model, text)


@pytest.mark.parametrize("written", [{"legacy": True}, {"legacy": False}, {"legacy": None}, {}, None])
def test_legacy_decides_what_follows_an_answer(
    tiny_tokenizer_model: Path, tmp_path: Path, written: dict[str, bool | None] | None
) -> None:
    """Without legacy, ``</s>`` is followed by ``USER`` as it is, not by ``▁USER``. The default is the authors' transformers'."""
    shutil.copyfile(tiny_tokenizer_model, tmp_path / "tokenizer.model")
    if written is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", **written}))
    legacy = (written or {}).get("legacy") is not False
    turns = [Turn("What is this?", "a red circle"), Turn("How many?", "2 squares"), Turn("Why?")]
    text = (
        f"{SYSTEM} USER: <image>\nWhat is this? ASSISTANT: a red circle</s>"
        "USER: How many? ASSISTANT: 2 squares</s>USER: Why? ASSISTANT:"
    )
    expected = _transformers(tmp_path, text, legacy=legacy)
    assert expected != _transformers(tmp_path, text, legacy=not legacy)
    tokenizer = checkpoint_tokenizer(tmp_path)
    assert _flat(prompt.encode_segments(tokenizer, turns)) == expected
    ends = [at for at, token in enumerate(expected) if token == 2]
    assert prompt.follow_up_ids(tokenizer, "Why?") == expected[ends[-1] :]
    # The same from a bundle, whose tokenizer adds no spaces: its texts contain them.
    tokenizer.write_plain(tmp_path / "plain.model")
    template = prompt.V1.spelled_for(tokenizer)
    assert _flat(prompt.encode_segments(Tokenizer(tmp_path / "plain.model"), turns, template)) == expected


def test_a_follow_up_continues_the_same_ids(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    first = _flat(prompt.encode_segments(tokenizer, [Turn("What is this?")]))
    both = _flat(prompt.encode_segments(tokenizer, [Turn("What is this?", "a red circle"), Turn("How many?")]))
    answer = tokenizer.encode("a red circle")
    assert both == first + answer + prompt.follow_up_ids(tokenizer, "How many?")


def test_marks_in_a_question_are_text(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    segments = prompt.encode_segments(tokenizer, [Turn("an <image> and </s>?")])
    assert segments.count(IMAGE) == 1
    assert _flat(segments).count(1) == 1
    assert 2 not in _flat(segments)


@pytest.mark.parametrize("question", ["", "  ", "\n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(PromptError, match="got an empty text"):
        Turn(question)


def test_a_conversation_needs_turns_and_answers() -> None:
    with pytest.raises(PromptError, match="got no turn"):
        prompt.text_segments([])
    with pytest.raises(PromptError, match="turn 1 has no answer"):
        prompt.text_segments([Turn("a"), Turn("b")])
