"""Answers from a KV cache that keeps the picture are the C++ runner's and the eager model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.pixels import preprocess
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.evaluate.answerer import Answerer
from mobilevlm_host.evaluate.system import Source, open_system

QUESTIONS = ("What is this?", "a " * 60, "How many?", "这是什么？ 😀", "What is this?")
NEW = 12


def _image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))


def _answers(answerer: Answerer) -> list[str]:
    said = []
    for seed in (1, 2, 1):
        answerer.show(_image(seed))
        said += [answerer.answer(question, NEW) for question in QUESTIONS]
    return said


def test_a_bundle_answers_as_its_runner(tiny_bundle: Bundle) -> None:
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


def test_a_checkpoint_answers_as_the_eager_model(tiny_checkpoint: Path) -> None:
    with open_system(Source(str(tiny_checkpoint))) as system:
        got, tokenizer = _answers(system.load()), system.tokenizer
    model, expected = random_model(), []
    for seed in (1, 2, 1):
        for question in QUESTIONS:
            before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(question)])
            ids = model.generate([before, preprocess(_image(seed), model.config), after], NEW)  # type: ignore[list-item]
            expected.append(tokenizer.decode(ids))
    # How many marks stand for bytes that are no character is each decoder's choice.
    assert [text.replace("\ufffd", "") for text in got] == [text.replace("\ufffd", "") for text in expected]


@pytest.mark.parametrize("kind", ["bundle", "checkpoint"])
def test_the_end_of_the_context_ends_an_answer(kind: str, tiny_bundle: Bundle, tiny_checkpoint: Path) -> None:
    with open_system(Source(str(tiny_bundle.path if kind == "bundle" else tiny_checkpoint))) as system:
        answerer = system.load()
        answerer.show(_image(1))
        fits, left = "", system.max_context
        for count in range(1, system.max_context):
            asked = "a " * count + "?"
            left = system.max_context - system.prompt_tokens(asked)
            if left < 3:
                break
            fits = asked
        room = system.max_context - system.prompt_tokens(fits)
        assert 0 < room < NEW
        assert answerer.answer(fits, NEW) == answerer.answer(fits, room)
        assert answerer.answer("a " * system.max_context, NEW) == ""
        again = answerer.answer("What is this?", NEW)
        answerer.show(_image(1))
        assert answerer.answer("What is this?", NEW) == again != ""


def test_a_system_is_known_by_what_decides_its_answers(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    zipped = tiny_bundle.path.with_name(tiny_bundle.path.name + ".zip")
    hashes = {}
    for source in (str(tiny_bundle.path), str(zipped), str(tiny_checkpoint), "demo"):
        with open_system(Source(source)) as system:
            hashes[source] = system.sha256
    assert hashes[str(tiny_bundle.path)] == hashes[str(zipped)]
    assert len(set(hashes.values())) == 3
