"""The engine's side of a :class:`~mobilevlm_host.ask.runner.Runner`: feed a KV cache, and generate token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mobilevlm_host.engines.methods import Methods, prefill
from mobilevlm_host.engines.native_output import native_output_hidden


class Generation(Protocol):
    """One conversation in a KV cache. Everything is appended to the cache; :meth:`reset` truncates it.

    All methods but :meth:`reset` raise RunnerError, or another MobileVLMError, if the engine fails.
    """

    def reset(self, keep: int = 0) -> int:
        """Drop everything but the first ``keep`` tokens; returns how many are left, 0 for an engine that can only be cleared."""
        ...

    def feed(self, ids: list[int]) -> None:
        """Append token ids, at most the bundle's max_prefill."""
        ...

    def show(self, pixels: Tensor) -> None:
        """Append an image, given as pixels uint8 [3, S, S]."""
        ...

    def generate(
        self, ids: list[int], max_new_tokens: int, temperature: float, on_token: Callable[[int], bool]
    ) -> None:
        """Feed ``ids``, at most max_prefill, and pass each new token to ``on_token``, until it returns False or there are
        ``max_new_tokens``. The first token is the most likely one; later ones are sampled at ``temperature`` (0: the most likely).

        A token is fed only when the next one is computed, so the last one never is.
        """
        ...


class MethodsGeneration:
    """:class:`Generation` with a bundle's three methods, for engines without their own runner."""

    def __init__(self, methods: Methods, *, pieces: int, max_prefill: int) -> None:
        """Tokens are chosen from the first ``pieces`` rows of the vocabulary: those that the tokenizer has a piece for."""
        self._methods, self._pieces, self._max_prefill = methods, pieces, max_prefill
        self._position = 0

    def reset(self, keep: int = 0) -> int:
        """See :class:`Generation`; later entries of the cache are overwritten before they are read."""
        self._position = keep
        return keep

    @torch.inference_mode()
    def feed(self, ids: list[int]) -> None:
        """See :class:`Generation`."""
        self._feed(self._methods.token_embedding(torch.tensor([ids])))

    @torch.inference_mode()
    def show(self, pixels: Tensor) -> None:
        """See :class:`Generation`."""
        self._feed(self._methods.vision_encoder(pixels[None])[0])

    @torch.inference_mode()
    def generate(
        self, ids: list[int], max_new_tokens: int, temperature: float, on_token: Callable[[int], bool]
    ) -> None:
        """See :class:`Generation`."""
        # Once for all tokens: for each call, it would take a small model as long as the token itself.
        with native_output_hidden():
            for step in range(max_new_tokens):
                logits = self._feed(self._methods.token_embedding(torch.tensor([ids])))[: self._pieces]
                token = _sampled(logits, temperature if step else 0.0)
                if not on_token(token):
                    break
                ids = [token]

    def _feed(self, embeds: Tensor) -> Tensor:
        logits = prefill(self._methods, embeds, self._max_prefill, self._position)
        self._position += embeds.shape[1]
        return logits


def _sampled(logits: Tensor, temperature: float) -> int:
    if temperature <= 0:
        return int(logits.argmax())
    below_best = (logits - logits.max()).double()  # however small the temperature is, the best stays finite
    return int(torch.multinomial((below_best / temperature).softmax(-1), 1))
