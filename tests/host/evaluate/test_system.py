"""Answers from a KV cache that keeps the picture are the C++ runner's and the eager model's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image
from tiny import random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.pixels import preprocess
from mobilevlm_host.ask.conversation import Conversation
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.executorch import ExecuTorchMethods
from mobilevlm_host.evaluate.benchmark import Benchmark, Item
from mobilevlm_host.evaluate.run_benchmark import ImageItems, answer_image
from mobilevlm_host.evaluate.system import Source, open_system

QUESTIONS = ("What is this?", "a " * 60, "How many?", "这是什么？ 😀", "What is this?")
NEW = 12


def _image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))


def _ask(conversation: Conversation, question: str, max_new_tokens: int = NEW) -> str:
    return "".join(conversation.ask_prepared(question, max_new_tokens=max_new_tokens))


def _answers(conversation: Conversation) -> list[str]:
    answers = []
    for seed in (1, 2, 1):
        conversation.prepare(_image(seed))
        answers += [_ask(conversation, question) for question in QUESTIONS]
    return answers


def test_a_bundle_answers_like_its_runner(tiny_bundle: Bundle) -> None:
    with open_system(Source(str(tiny_bundle.path))) as system:
        got = _answers(system.load())
    with Runner(Bundle(tiny_bundle.path, tiny_bundle.manifest)) as runner:
        expected = [
            "".join(runner.ask(_image(seed), question, max_new_tokens=NEW))
            for seed in (1, 2, 1)
            for question in QUESTIONS
        ]
    assert got == expected
    assert got[: len(QUESTIONS)] == got[-len(QUESTIONS) :] != got[len(QUESTIONS) : -len(QUESTIONS)]
    assert got[0] == got[4] != got[2]


def test_a_checkpoint_answers_like_the_eager_model(tiny_checkpoint: Path) -> None:
    with open_system(Source(str(tiny_checkpoint))) as system:
        got, tokenizer = _answers(system.load()), system.spec.tokenizer
    model, expected = random_model(), []
    for seed in (1, 2, 1):
        for question in QUESTIONS:
            before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(question)])
            ids = model.generate([before, preprocess(_image(seed), model.config), after], NEW)  # type: ignore[list-item]
            expected.append(tokenizer.decode(ids))
    # How many marks stand for bytes that are no character is each decoder's choice.
    assert [text.replace("\ufffd", "") for text in got] == [text.replace("\ufffd", "") for text in expected]


@dataclass(frozen=True)
class _OneImage:
    """A benchmark as :func:`answer_image` sees it."""

    max_new_tokens: int = NEW

    def image(self, name: str) -> Image.Image:
        return _image(1)


@pytest.mark.parametrize("kind", ["bundle", "checkpoint"])
def test_the_end_of_the_context_ends_an_answer(kind: str, tiny_bundle: Bundle, tiny_checkpoint: Path) -> None:
    with open_system(Source(str(tiny_bundle.path if kind == "bundle" else tiny_checkpoint))) as system:
        questions = ["a " * count + "?" for count in range(1, system.spec.max_context)]
        room, fits = min((room, each) for each in questions if (room := system.spec.room(each)) >= 3)
        assert room < NEW
        questions = ["What is this?", fits, "a " * system.spec.max_context, "What is this?"]
        items = tuple(Item(str(at), "a.png", each) for at, each in enumerate(questions))
        with system.load() as conversation:
            given = dict(answer_image(conversation, cast(Benchmark, _OneImage()), ImageItems("a.png", items)))
            assert given["1"] == _ask(conversation, fits, room)
        assert given["2"] == ""
        assert given["0"] == given["3"] != ""


def test_an_image_is_encoded_once_for_all_its_questions(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    encode = ExecuTorchMethods.vision_encoder
    monkeypatch.setattr(
        ExecuTorchMethods, "vision_encoder", lambda self, pixels: encoded.append(1) or encode(self, pixels)
    )
    with open_system(Source(str(tiny_bundle.path))) as system:
        _answers(system.load())
    assert len(encoded) == 3


def test_a_systems_hash_covers_what_decides_its_answers(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    zipped = tiny_bundle.path.with_name(tiny_bundle.path.name + ".zip")
    hashes = {}
    for source in (str(tiny_bundle.path), str(zipped), str(tiny_checkpoint), "demo"):
        with open_system(Source(source)) as system:
            hashes[source] = system.sha256
    assert hashes[str(tiny_bundle.path)] == hashes[str(zipped)]
    assert len(set(hashes.values())) == 3
