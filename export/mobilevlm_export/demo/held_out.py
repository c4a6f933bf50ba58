"""The questions that the demo model is judged by, about scenes that no training has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from mobilevlm_export.demo.questions import QA, questions
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS, make_scene, render

_QUESTIONS_A_SCENE = 4


@dataclass(frozen=True)
class HeldOut:
    """A question, number ``index`` about the scene that ``seed`` makes."""

    seed: int
    index: int
    qa: QA


def held_out(seeds: Sequence[int] = HELD_OUT_SEEDS) -> Iterator[HeldOut]:
    """Four questions about each scene of ``seeds``."""
    for seed in seeds:
        for index, qa in enumerate(questions(make_scene(seed), seed, count=_QUESTIONS_A_SCENE)):
            yield HeldOut(seed, index, qa)


def scene_image(seed: int) -> Image:
    """The scene that ``seed`` makes (RGB)."""
    return render(make_scene(seed))
