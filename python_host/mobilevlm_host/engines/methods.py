"""The interface to the methods of a bundle's program, called one by one from Python, and a prefill for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from mobilevlm_export.errors import RunnerError

METHODS = ("vision_encoder", "token_embedding", "text_decoder")


@dataclass(frozen=True)
class ComputedBy:
    """The engine that computes a bundle's answers on this machine: its name for scripts, and a description of what its results
    can and can't show, which may be empty.
    """

    engine: str
    shows: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain data for ``--json``; empty without a description."""
        return {"engine": self.engine, "shows": self.shows} if self.shows else {}


class Methods(Protocol):
    """The three methods that every artifact has, with one KV cache."""

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Uint8 [1, 3, S, S] → image embeddings [1, P / 4, D], features [1, P, vision D]."""
        ...

    def token_embedding(self, ids: Tensor) -> Tensor:
        """Int64 [1, T] → [1, T, D]."""
        ...

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """[1, T, D] at cache ``position`` → logits [V] after the last; T is at most the bundle's max_prefill."""
        ...


def require_room(where: Path, tokens: int, position: int, context: int) -> None:
    """Raise RunnerError unless ``tokens`` at cache ``position`` fit the ``context`` of the program ``where``."""
    if not 0 < position + tokens <= context:
        raise RunnerError(f"{where}: got {tokens} tokens at position {position}, expected at most {context} together")


def prefill(methods: Methods, embeds: Tensor, max_prefill: int, position: int = 0) -> Tensor:
    """Logits [V] after ``embeds`` [1, T, D], fed from cache ``position`` in chunks of at most ``max_prefill``."""
    for chunk in embeds.split(max_prefill, dim=1):
        logits = methods.text_decoder(chunk, position)
        position += chunk.shape[1]
    return logits
