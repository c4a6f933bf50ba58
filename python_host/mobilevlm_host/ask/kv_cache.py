"""An engine with a mirror of its KV cache: a prompt is compared with what is cached, and only what differs is fed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from mobilevlm_host.engines.generation import Generation


@dataclass(frozen=True, eq=False)
class Shown:
    """An image in a prompt: pixels uint8 [3, S, S], which become ``tokens`` embeddings. It is equal only to itself."""

    pixels: Tensor
    tokens: int


Part = int | Shown  # of a prompt: a token's id, or an image


def token_count(prompt: Sequence[Part]) -> int:
    """Tokens that ``prompt`` takes in the KV cache."""
    return sum(part.tokens if isinstance(part, Shown) else 1 for part in prompt)


def _shared_images(cached: Sequence[Part], prompt: Sequence[Part]) -> list[Part]:
    """What ``prompt`` begins as ``cached`` does with, up to an image or the end of one: what follows is then fed in the same calls
    as after a reset, so that an answer doesn't depend on what was asked before it.
    """
    end = 0
    for at, (part, asked) in enumerate(zip(cached, prompt, strict=False)):
        if isinstance(asked, Shown):
            end = at  # another image begins where this one did
        if part != asked:
            break
        if isinstance(part, Shown):
            end = at + 1
    return list(prompt[:end])


class KVCache:
    """Makes ``engine``, which appends, and goes back if it can, continue any prompt. One thread at a time is let in, others wait."""

    def __init__(self, engine: Generation, max_prefill: int) -> None:
        self._engine, self._max_prefill = engine, max_prefill
        self._cached: list[Part] | None = None  # None: not known, as after an error
        self._lock = threading.Lock()

    def hold(self, prompt: Sequence[Part]) -> float:
        """Make the cache hold exactly ``prompt``: seconds that its image took, 0 if that was cached.

        Raises:
            MobileVLMError: the engine fails. What is cached is fed again when it is next needed.
        """
        with self._lock, self._shared(prompt, len(prompt)) as cached:
            return self._feed(self._calls(prompt[len(cached) :]), cached, lambda: False)

    def generate(
        self,
        prompt: Sequence[Part],
        max_new_tokens: int,
        temperature: float,
        on_token: Callable[[int], bool],
        stopped: Callable[[], bool],
    ) -> float:
        """As :meth:`hold`, then hand each token that follows ``prompt`` to ``on_token``, as :meth:`Generation.generate` does.

        ``prompt`` ends with a token's id. Nothing is generated if it is ``stopped`` while it is fed.

        Raises:
            MobileVLMError: as :meth:`hold`.
        """
        with self._lock, self._shared(prompt, len(prompt) - 1) as cached:  # the last id gives the first new token
            *calls, last = self._calls(prompt[len(cached) :])
            assert isinstance(last, list)
            image_s = self._feed(calls, cached, stopped)
            if stopped():
                return image_s
            new: list[int] = []

            def take(token: int) -> bool:
                new.append(token)
                return on_token(token)

            self._engine.generate(last, max_new_tokens, temperature, take)
            cached += [*last, *new[:-1]]  # a token is fed when the next one is computed
            return image_s

    @contextmanager
    def lent(self) -> Iterator[Generation]:
        """The engine itself, whatever it is fed meanwhile."""
        with self._lock:
            self._cached = None
            yield self._engine

    @contextmanager
    def _shared(self, prompt: Sequence[Part], most: int) -> Iterator[list[Part]]:
        """All that is cached: the beginning of ``prompt``, of at most ``most`` parts. The caller appends what it feeds."""
        cached, self._cached = self._cached, None  # until the engine has returned
        if cached is None or len(cached) > most or cached != list(prompt[: len(cached)]):
            kept = _shared_images(cached or [], prompt)
            count = token_count(kept)
            cached = kept if self._engine.reset(count) == count else []
        yield cached
        self._cached = cached

    def _feed(self, calls: list[list[int] | Shown], cached: list[Part], stopped: Callable[[], bool]) -> float:
        image_s = 0.0
        for call in calls:
            if stopped():
                break
            if isinstance(call, Shown):
                begin = time.perf_counter()
                self._engine.show(call.pixels)
                image_s = time.perf_counter() - begin
                cached.append(call)
            else:
                self._engine.feed(call)
                cached += call
        return image_s

    def _calls(self, parts: Sequence[Part]) -> list[list[int] | Shown]:
        """``parts`` as the engine takes them: images, and up to max_prefill ids."""
        calls: list[list[int] | Shown] = []
        for part in parts:
            last = calls[-1] if calls else None
            if isinstance(part, Shown):
                calls.append(part)
            elif isinstance(last, list) and len(last) < self._max_prefill:
                last.append(part)
            else:
                calls.append([part])
        return calls
