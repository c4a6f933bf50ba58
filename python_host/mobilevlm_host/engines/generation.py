"""One conversation in a KV cache, fed and continued token by token: what :class:`~mobilevlm_host.ask.runner.Runner` drives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mobilevlm_host.engines.methods import Methods, prefill


class Generation(Protocol):
    """Everything is appended at the cache's end; :meth:`reset` goes back to its beginning.

    All but :meth:`reset` raise RunnerError, or another MobileVLMError, if the engine fails.
    """

    def reset(self, keep: int = 0) -> int:
        """Forget all that was fed but the first ``keep`` tokens: how many are left, none where an engine can only start over."""
        ...

    def feed(self, ids: list[int]) -> None:
        """Token ids, at most the bundle's max_prefill."""
        ...

    def show(self, pixels: Tensor) -> None:
        """An image's pixels, uint8 [3, S, S]."""
        ...

    def generate(
        self, ids: list[int], max_new_tokens: int, temperature: float, on_token: Callable[[int], bool]
    ) -> None:
        """Feed ``ids``, at most max_prefill, and hand each new token to ``on_token``: the most likely first, then sampled at
        ``temperature`` (0: the most likely), until that returns False or there are ``max_new_tokens``.

        A token is fed when the next one is computed: the last one never is.
        """
        ...


class MethodsGeneration:
    """The same by a bundle's three methods, for engines without a runner of their own."""

    def __init__(self, methods: Methods, *, pieces: int, max_prefill: int) -> None:
        """Only the first ``pieces`` rows of the vocabulary are chosen from: those that the tokenizer has a piece for."""
        self._methods, self._pieces, self._max_prefill = methods, pieces, max_prefill
        self._position = 0

    def reset(self, keep: int = 0) -> int:
        """See :class:`Generation`; what stays in the cache behind them is overwritten before it is read."""
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
    return int(torch.multinomial((logits / temperature).softmax(-1), 1) if temperature > 0 else logits.argmax())
