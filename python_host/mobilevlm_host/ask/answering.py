"""Generate one answer in a separate thread, so that the engine works ahead of the reader."""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mobilevlm_export.errors import MobileVLMError, RunnerError
from mobilevlm_host.ask.kv_cache import KVCache, Part


@dataclass(frozen=True)
class Request:
    """A prompt that ends with a question, and how to answer it: until ``eos_id``, ``max_new_tokens``, or ``stopped`` is set."""

    prompt: tuple[Part, ...]
    max_new_tokens: int
    temperature: float
    eos_id: int
    stopped: threading.Event


class Answering:
    """Iterate over it once for the answer's tokens and the times at which they were generated (``time.perf_counter``, seconds).

    If the answer ends with the end-of-text token, it is included. Always call :meth:`end` at the end, even after an error.
    """

    image_s = 0.0  # seconds for the prompt's image, 0 if it was cached; valid at the end

    def __init__(self, cache: KVCache, request: Request) -> None:
        """Start the engine."""
        self._tokens: queue.SimpleQueue[tuple[int, float] | BaseException | None] = queue.SimpleQueue()
        self._request = request
        self._thread = threading.Thread(target=self._work, args=(cache,), name="mvlm-generate", daemon=True)
        atexit.register(self.end)  # exiting while a thread is inside C++ would abort the process
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """See the class.

        Raises:
            MobileVLMError: the engine failed.
        """
        while (token := self._tokens.get()) is not None:
            if isinstance(token, MobileVLMError):
                raise token
            if isinstance(token, BaseException):
                lines = str(token).splitlines()
                raise RunnerError(f"engine: {lines[0] if lines else type(token).__name__}") from token
            yield token

    def end(self) -> None:
        """Stop the engine if it is running, and wait for it. May be called from any thread."""
        self._request.stopped.set()
        self._thread.join()
        atexit.unregister(self.end)

    def _work(self, cache: KVCache) -> None:
        request, is_over = self._request, False

        def on_token(token: int) -> bool:
            nonlocal is_over
            if not is_over:  # an engine may return one more
                self._tokens.put((token, time.perf_counter()))
                is_over = token == request.eos_id or request.stopped.is_set()
            return not is_over

        try:
            self.image_s = cache.generate(
                request.prompt, request.max_new_tokens, request.temperature, on_token, request.stopped.is_set
            )
            self._tokens.put(None)
        except BaseException as error:
            self._tokens.put(error)
