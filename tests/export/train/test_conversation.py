"""Reading LLaVA's JSON and masking labels: exact ids, derived by hand from the template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export import prompt
from mobilevlm_export.errors import TrainError
from mobilevlm_export.prompt import Turn
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.conversation import IGNORED, TrainingSample, group_by_length, read_conversations, tokenize

TURNS = (Turn("What color is it?", "It is red."), Turn("Is it red?", "yes"))


def test_plain_learns_only_the_caption_after_the_image(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, TrainingSample("a.png", TURNS[:1]), "plain", 100)
    caption = tokenizer.encode("It is red.")
    assert tokens.ids == [tokenizer.bos_id, *caption, tokenizer.eos_id]
    assert tokens.labels == [IGNORED, *caption, tokenizer.eos_id]
    assert tokens.image_at == 1


def test_v1_learns_only_answers_and_their_ends(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, TrainingSample("a.png", TURNS), "v1", 500)
    system = "A chat between a curious user and an artificial intelligence assistant. "
    system += "The assistant gives helpful, detailed, and polite answers to the user's questions."
    before = [tokenizer.bos_id, *tokenizer.encode(f"{system} USER: ")]
    first = tokenizer.encode("\nWhat color is it? ASSISTANT: It is red.")
    second = tokenizer.encode("USER: Is it red? ASSISTANT: yes")
    assert tokens.ids == [*before, *first, tokenizer.eos_id, *second, tokenizer.eos_id]
    assert tokens.image_at == len(before)
    asked = len(tokenizer.encode("\nWhat color is it? ASSISTANT:"))
    asked_again = len(tokenizer.encode("USER: Is it red? ASSISTANT:"))
    assert tokens.labels == [
        *[IGNORED] * (len(before) + asked),
        *first[asked:],
        tokenizer.eos_id,
        *[IGNORED] * asked_again,
        *second[asked_again:],
        tokenizer.eos_id,
    ]
    learned = [label for label in tokens.labels if label not in (IGNORED, tokenizer.eos_id)]
    assert tokenizer.decode(learned).split() == ["It", "is", "red.", "yes"]


def test_v1_ids_equal_the_inference_prompt(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, TrainingSample("a.png", TURNS), "v1", 500)
    before, _, after = prompt.encode_segments(tokenizer, [TURNS[0], Turn("Is it red?")])
    asked = [*before, *after]  # type: ignore[misc]
    assert tokens.ids[: len(asked)] == asked


def test_text_only_samples_have_no_image(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, TrainingSample(None, TURNS[:1]), "v1", 500)
    assert tokens.image_at is None
    assert tokenizer.decode([label for label in tokens.labels if label != IGNORED]).strip() == "It is red."


def test_long_samples_are_cut(tokenizer: Tokenizer) -> None:
    tokens = tokenize(tokenizer, TrainingSample("a.png", TURNS), "v1", 20)
    assert len(tokens.ids) == len(tokens.labels) == 20


def test_image_placeholder_moves_to_the_front(data: Path) -> None:
    samples = read_conversations(data)
    assert samples[0] == TrainingSample("red.png", (Turn("What color is it?", "It is red."),))
    assert len(samples) == 7
    assert samples[-1].image is None


_HUMAN, _GPT = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["x"], "entry 1: got list, expected an object"),
        ({"image": 3, "conversations": [_HUMAN, _GPT]}, "entry 1: image: got 3, expected a file name"),
        ({"image": "a.png"}, "entry 1: conversations: got None"),
        ({"conversations": [_HUMAN]}, "entry 1: conversations: got"),
        ({"conversations": [_GPT, _HUMAN]}, r"entry 1: conversations\[0\].from: got 'gpt', expected 'human'"),
        ({"conversations": [_HUMAN, {"from": "gpt"}]}, r"entry 1: conversations\[1\].value: got None, expected text"),
    ],
)
def test_malformed_entry_is_named(tmp_path: Path, entry: Any, message: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"conversations": [_HUMAN, _GPT]}, entry]))
    with pytest.raises(TrainError, match=f"{re.escape(str(path))}: {message}"):
        read_conversations(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file, expected a JSON list"),
        (lambda path: path.write_text("[{"), "expected a JSON list of conversations"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "expected a JSON list of conversations"),
        (lambda path: path.write_text("{}"), "got dict, expected a JSON list"),
        (lambda path: path.write_text("[]"), "got an empty list"),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "data.json"
    write(path)
    with pytest.raises(TrainError, match=message):
        read_conversations(path)


@pytest.mark.parametrize("count", [1, 7, 64, 501])
def test_length_grouping_covers_every_sample_once(count: int) -> None:
    lengths = [(index * 37) % 101 for index in range(count)]
    batches = group_by_length(lengths, 4, seed=3)
    assert sorted(index for batch in batches for index in batch) == list(range(count))
    assert all(1 <= len(batch) <= 4 for batch in batches)


def test_length_grouping_batches_similar_lengths_in_seeded_order() -> None:
    lengths = [(index * 37) % 101 for index in range(200)]
    batches = group_by_length(lengths, 4, seed=3)
    spread = max(max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches)
    assert spread <= 4
    assert batches == group_by_length(lengths, 4, seed=3)
    assert batches != group_by_length(lengths, 4, seed=4)
