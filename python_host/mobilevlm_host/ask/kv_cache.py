"""An engine with a mirror of its KV cache: a prompt is compared with the cached one, and only the difference is fed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from mobilevlm_host.engines.generation import Generation


@dataclass(frozen=True, eq=False)
class PromptImage:
    """An image in a prompt: pixels uint8 [3, S, S], which become ``tokens`` embeddings. It is equal only to itself."""

    pixels: Tensor
    tokens: int


Part = int | PromptImage  # of a prompt: a token's id, or an image


def token_count(prompt: Sequence[Part]) -> int:
    """The number of tokens that ``prompt`` takes in the KV cache."""
    return sum(part.tokens if isinstance(part, PromptImage) else 1 for part in prompt)


def _shared_images(cached: Sequence[Part], prompt: Sequence[Part]) -> list[Part]:
    """The common prefix of ``cached`` and ``prompt``, ending before or after an image: the rest is then fed in the same calls as after
    a reset, so that an answer doesn't depend on earlier questions.
    """
    end = 0
    for at, (part, wanted) in enumerate(zip(cached, prompt, strict=False)):
        if isinstance(wanted, PromptImage):
            end = at  # another image starts at the same position
        if part != wanted:
            break
        if isinstance(part, PromptImage):
            end = at + 1
    return list(prompt[:end])


class KVCache:
    """Lets ``engine``, which appends and may be able to go back, continue any prompt. Threads are admitted one at a time."""

    def __init__(self, engine: Generation, max_prefill: int) -> None:
        self._engine, self._max_prefill = engine, max_prefill
        self._cached: list[Part] | None = None  # None: unknown, as after an error
        self.reused_tokens = 0  # of the latest prompt, those that were cached
        self._lock = threading.Lock()

    def hold(self, prompt: Sequence[Part]) -> float:
        """Make the cache contain exactly ``prompt``; returns the seconds that its image took, 0 if it was cached.

        Raises:
            MobileVLMError: the engine fails. The prompt is then fed again when it is next needed.
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
        """Like :meth:`hold`, then pass each new token to ``on_token`` like :meth:`Generation.generate`.

        ``prompt`` ends with a token id. Nothing is generated if ``stopped`` returns true while the prompt is fed.

        Raises:
            MobileVLMError: as :meth:`hold`.
        """
        with (
            self._lock,
            self._shared(prompt, len(prompt) - 1) as cached,
        ):  # feeding the last id yields the first new token
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
            cached += [*last, *new[:-1]]  # a token is fed only when the next one is computed
            return image_s

    @contextmanager
    def exclusive_engine(self) -> Iterator[Generation]:
        """The engine itself; the mirror is discarded afterwards."""
        with self._lock:
            self._cached = None
            yield self._engine

    @contextmanager
    def _shared(self, prompt: Sequence[Part], most: int) -> Iterator[list[Part]]:
        """The cached prefix of ``prompt``, at most ``most`` parts. The caller appends the parts that it feeds."""
        cached, self._cached = self._cached, None  # unknown until the engine has returned
        if cached is None or len(cached) > most or cached != list(prompt[: len(cached)]):
            kept = _shared_images(cached or [], prompt)
            count = token_count(kept)
            cached = kept if self._engine.reset(count) == count else []
        self.reused_tokens = token_count(cached)
        yield cached
        self._cached = cached

    def _feed(self, calls: list[list[int] | PromptImage], cached: list[Part], stopped: Callable[[], bool]) -> float:
        image_s = 0.0
        for call in calls:
            if stopped():
                break
            if isinstance(call, PromptImage):
                begin = time.perf_counter()
                self._engine.show(call.pixels)
                image_s = time.perf_counter() - begin
                cached.append(call)
            else:
                self._engine.feed(call)
                cached += call
        return image_s

    def _calls(self, parts: Sequence[Part]) -> list[list[int] | PromptImage]:
        """``parts`` in calls of the engine: images, and up to max_prefill ids each."""
        calls: list[list[int] | PromptImage] = []
        for part in parts:
            last = calls[-1] if calls else None
            if isinstance(part, PromptImage):
                calls.append(part)
            elif isinstance(last, list) and len(last) < self._max_prefill:
                last.append(part)
            else:
                calls.append([part])
        return calls
