"""The interface of a benchmark: questions about images, and a way to score answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL.Image import Image

from mobilevlm_export.errors import EvaluateError


@dataclass(frozen=True)
class Item:
    """One question. ``id`` is unique in its benchmark; items with the same ``picture`` are about the same image;
    ``prompt`` is the user's turn without the image, worded like the authors'. ``question_id`` is kept where the authors' files
    have the same one for all questions about an image, which only the prompt distinguishes.
    """

    id: str
    picture: str
    prompt: str
    question_id: str | None = None


@dataclass(frozen=True)
class Scores:
    """``metrics``: name → figure, the main one first, in the paper's units; ``by_item``: item id → score of its answer, from 0 to 1,
    by which two systems are compared question by question; ``plain``: metrics that are points or counts, not percentages.
    """

    metrics: Mapping[str, float]
    by_item: Mapping[str, float]
    plain: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Evaluation:
    """A system's answers to a benchmark (item id → text) and their scores; ``asked`` of the answers are new in the file
    ``predictions``. ``artifact_sha256`` identifies the program of a bundle that answered, if one did here.
    """

    system: str
    benchmark: str
    predictions: Path
    answers: Mapping[str, str]
    scores: Scores
    asked: int
    artifact_sha256: str = ""


class Benchmark(Protocol):
    """A benchmark read from its folder; immutable, and cheap to read in another process."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """The questions in the order of the official file."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """The maximum length of answers in the authors' scripts, in tokens."""
        ...

    def about(self, pictures: Collection[str]) -> Benchmark:
        """This benchmark restricted to questions about ``pictures``, in scores too."""
        ...

    def missing(self) -> Sequence[str]:
        """The images of items that are missing in the folder; images aren't decoded."""
        ...

    def image(self, picture: str) -> Image:
        """The image (RGB), opened as in the reference.

        Raises:
            EvaluateError: it can't be read.
        """
        ...

    def score(self, answers: Mapping[str, str]) -> Scores:
        """Score ``answers`` (item id → text) like the official scorer.

        Raises:
            EvaluateError: an item has no answer, or an answer has no item.
        """
        ...


def given_answers(items: Sequence[Item], answers: Mapping[str, str]) -> dict[str, str]:
    """``answers`` in the order of ``items``, stripped of surrounding whitespace like in the authors' scripts.

    Raises:
        EvaluateError: an item has no answer, or an answer has no item.
    """
    ids = {item.id for item in items}
    if missing := [item.id for item in items if item.id not in answers]:
        raise EvaluateError(f"answers: got none for {some(missing)} of {len(items)} questions, expected one for each")
    if unknown := [id for id in answers if id not in ids]:
        raise EvaluateError(
            f"answers: got {some(unknown)} with unknown ids, expected answers to this benchmark's questions"
        )
    return {item.id: answers[item.id].strip() for item in items}


def items_about(items: Sequence[Item], pictures: Collection[str]) -> list[Item]:
    """The ``items`` about ``pictures``, in the same order."""
    kept = frozenset(pictures)
    return [item for item in items if item.picture in kept]


def first_pictures(items: Sequence[Item], count: int) -> list[str]:
    """The first ``count`` images of ``items``."""
    return list(dict.fromkeys(item.picture for item in items))[:count]


def answered_pictures(items: Sequence[Item], answers: Collection[str]) -> list[str]:
    """The images for which all ``items`` have their id in ``answers``."""
    left = {item.picture for item in items if item.id not in answers}
    return [picture for picture in dict.fromkeys(item.picture for item in items) if picture not in left]


def percent(earned: Collection[float]) -> float:
    """The mean of ``earned`` (at least one score from 0 to 1) in percent."""
    return 100 * sum(earned) / len(earned)


def some(ids: Sequence[str]) -> str:
    """The number of ``ids`` and the first of them, for a message."""
    return f"{len(ids)} ({', '.join(ids[:3])}{', …' if len(ids) > 3 else ''})"
