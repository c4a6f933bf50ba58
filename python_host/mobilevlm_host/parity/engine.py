"""What parity compares: the methods of a bundle's program, and whole answers of its runner."""

from __future__ import annotations

from typing import Protocol

from PIL.Image import Image
from torch import Tensor

from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.methods import Methods


class Engine(Methods, Protocol):
    """The three methods, with a KV cache of their own, and the runner's greedy answers."""

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """Greedy token ids."""
        ...


class BundleEngine:
    """The :class:`Engine` of a bundle: its methods one by one, its ``runner`` for answers."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._methods = runner, runner.methods()

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Methods`."""
        return self._methods.vision_encoder(pixels)

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Methods`."""
        return self._methods.token_embedding(ids)

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Methods`."""
        return self._methods.text_decoder(embeds, position)

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """See :class:`Engine`."""
        for _ in self._runner.ask(image, question, max_new_tokens=max_new_tokens):
            pass
        return list(self._runner.answer.token_ids or ())
