"""What every benchmark is made of: questions about pictures, and a way to score answers."""

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
    ``prompt`` is the user's turn without the image, as the authors ask it. Where the authors' files give one
    ``question_id`` to all questions about a picture, it is kept: there the prompt tells them apart.
    """

    id: str
    picture: str
    prompt: str
    question_id: str | None = None


@dataclass(frozen=True)
class Scores:
    """``metrics``: name → figure, the headline first, each in the unit that the paper prints; ``by_item``: item id → what its answer
    earned, from 0 to 1, which pairs two systems question by question; ``plain``: metrics that are points or counts, not percentages.
    """

    metrics: Mapping[str, float]
    by_item: Mapping[str, float]
    plain: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Evaluation:
    """A system's answers to a benchmark (item id → text) and their scores; ``asked`` of them were not in the file ``predictions``
    before.
    """

    system: str
    benchmark: str
    predictions: Path
    answers: Mapping[str, str]
    scores: Scores
    asked: int


class Benchmark(Protocol):
    """A benchmark read from its folder; immutable, and cheap to read again in another process."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """The questions, in the order of the official file."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """The longest answer that the authors' scripts allow."""
        ...

    def about(self, pictures: Collection[str]) -> Benchmark:
        """The same benchmark with the questions about ``pictures`` only, and scores over those."""
        ...

    def missing(self) -> Sequence[str]:
        """Pictures that the items name and the folder lacks; nothing is decoded to find out."""
        ...

    def image(self, picture: str) -> Image:
        """The picture (RGB), opened as the reference opens it.

        Raises:
            EvaluateError: it can't be read.
        """
        ...

    def score(self, answers: Mapping[str, str]) -> Scores:
        """Score ``answers``: item id → text, as the official scorer does it.

        Raises:
            EvaluateError: an item has no answer, or an answer has no item.
        """
        ...


def given_answers(items: Sequence[Item], answers: Mapping[str, str]) -> dict[str, str]:
    """``answers`` in the order of ``items``, without the blanks around them, as the authors' scripts write them down.

    Raises:
        EvaluateError: an item has no answer, or an answer has no item.
    """
    ids = {item.id for item in items}
    if missing := [item.id for item in items if item.id not in answers]:
        raise EvaluateError(f"answers: got none for {some(missing)} of {len(items)} questions, expected one each")
    if unknown := [id for id in answers if id not in ids]:
        raise EvaluateError(f"answers: got {some(unknown)} that no question has, expected answers to these questions")
    return {item.id: answers[item.id].strip() for item in items}


def items_about(items: Sequence[Item], pictures: Collection[str]) -> list[Item]:
    """Those of ``items`` that are about ``pictures``, in their order."""
    kept = frozenset(pictures)
    return [item for item in items if item.picture in kept]


def first_pictures(items: Sequence[Item], count: int) -> list[str]:
    """The first ``count`` pictures that ``items`` name."""
    return list(dict.fromkeys(item.picture for item in items))[:count]


def answered_pictures(items: Sequence[Item], answers: Collection[str]) -> list[str]:
    """The pictures of ``items`` all of whose items have their id in ``answers``."""
    left = {item.picture for item in items if item.id not in answers}
    return [picture for picture in dict.fromkeys(item.picture for item in items) if picture not in left]


def percent(earned: Collection[float]) -> float:
    """The mean of ``earned`` (each from 0 to 1, at least one) in percent."""
    return 100 * sum(earned) / len(earned)


def some(ids: Sequence[str]) -> str:
    """How many ``ids`` there are, and the first of them, for a message."""
    return f"{len(ids)} ({', '.join(ids[:3])}{', …' if len(ids) > 3 else ''})"
