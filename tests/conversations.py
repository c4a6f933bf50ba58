"""Conversations of ``mvlm ask`` with the demo, which the apps' cores must reproduce."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.pixels import open_image
from mobilevlm_host.ask.conversation import Answer
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.records.golden import read_golden

# The third answer is truncated, so that the fourth question follows an unfinished answer.
LONGEST = (80, 80, 2, 80)


@dataclass(frozen=True)
class Said:
    question: str
    max_new_tokens: int
    answer: Answer


@dataclass(frozen=True)
class Conversation:
    """``name`` is unique, without an ending; ``runner`` still holds the conversation in its KV cache."""

    name: str
    picture: Image
    said: list[Said]
    runner: Runner


def conversations(bundle: Bundle, backend: str) -> Iterator[Conversation]:
    """Every golden record, and four questions about each sample picture."""
    with Runner(bundle, backend=backend) as runner:
        for name, picture, record in read_golden(bundle):
            said = _ask(runner, picture, [record.question], [record.max_new_tokens])
            assert said[0].answer.text == record.answer
            yield Conversation(Path(name).stem, picture, said, runner)
        for sample in json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))["samples"]:
            picture = open_image(DEMO_SAMPLES / sample["image"])
            said = _ask(runner, picture, [qa["question"] for qa in sample["questions"]], LONGEST)
            yield Conversation(f"sample-{Path(sample['image']).stem}", picture, said, runner)


def _ask(runner: Runner, picture: Image, questions: list[str], longest: list[int] | tuple[int, ...]) -> list[Said]:
    said: list[Said] = []
    for question, most in zip(questions, longest, strict=True):
        if said:
            "".join(runner.follow_up(question, max_new_tokens=most))
        else:
            "".join(runner.ask(picture, question, max_new_tokens=most))
        said.append(Said(question, most, runner.answer))
    return said
