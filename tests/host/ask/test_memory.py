"""A runner's memory doesn't grow: a thousand questions about ever new pictures, with conversations in between."""

from __future__ import annotations

import gc

import numpy as np
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.free_memory import trim
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.bench.measurement import memory_bytes

_ASKS, _WARM_UP = 1000, 100
# Between a warm runner and one that has answered a thousand questions 0.2 MB were seen to come and go, in the heap's rounding. Two are 2 kB
# a question: less than the logits of one token, the ids and text of a conversation, or a fortieth of a picture's pixels.
_MOST_BYTES = 2_000_000
_QUESTIONS = ("How many squares are there?", "Describe the image.", "What color is the circle?")


def test_a_thousand_questions_leak_no_memory(demo_bundle: Bundle) -> None:
    noise = np.random.default_rng(0)
    with Runner(demo_bundle, threads=1) as runner:
        for _ in range(_WARM_UP // 4):
            _ask_four(runner, noise)
        before = _resident()
        for _ in range(_ASKS // 4):
            _ask_four(runner, noise)
        assert _resident() - before < _MOST_BYTES


def _ask_four(runner: Runner, noise: np.random.Generator) -> None:
    """A conversation of three turns about a new picture, and another question about it from the beginning."""
    height = int(noise.integers(100, 200))
    image = Image.fromarray(noise.integers(0, 256, (height, 168, 3), dtype=np.uint8))
    for _ in runner.ask(image, _QUESTIONS[0], max_new_tokens=3):
        pass
    for ask, question in ((runner.follow_up, 1), (runner.follow_up, 2), (runner.ask_prepared, 1)):
        for _ in ask(_QUESTIONS[question], max_new_tokens=3):
            pass


def _resident() -> int:
    gc.collect()
    trim()
    return memory_bytes()
