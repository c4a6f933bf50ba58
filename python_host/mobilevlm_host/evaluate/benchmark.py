"""What every benchmark is made of: questions about pictures, and a way to score answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL.Image import Image


@dataclass(frozen=True)
class Item:
    """One question. ``id`` is unique in its benchmark; items with the same ``picture`` are about the same image;
    ``prompt`` is the user's turn without the image, as the authors ask it.
    """

    id: str
    picture: str
    prompt: str


@dataclass(frozen=True)
class Scores:
    """``metrics``: name → figure, the headline first, each in the unit that the paper prints; ``by_item``: item id → what its answer
    earned, from 0 to 1, which pairs two systems question by question.
    """

    metrics: Mapping[str, float]
    by_item: Mapping[str, float]


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
