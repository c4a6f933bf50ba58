"""One engine for many clients: questions wait in a bounded line and are answered one at a time, in the order in which they came."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mobilevlm_export.errors import MobileVLMError
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.served_model import ServedAnswer, ServedQuestion

Event = str | ServedAnswer | ApiError  # a piece of text, or one of the two ends


class _Model(Protocol):
    def answer(
        self, question: ServedQuestion, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> ServedAnswer: ...


@dataclass(eq=False)
class Ticket:
    """A question in the line. ``deliver`` is called from the engine's thread, and no more once ``cancelled`` is set."""

    question: ServedQuestion
    deliver: Callable[[Event], None]
    since: float = field(default_factory=time.perf_counter)
    queue_s: float = 0.0  # how long it waited
    cancelled: threading.Event = field(default_factory=threading.Event)


class AnswerQueue:
    """Answers questions with ``model`` in a thread of its own. At most ``size`` questions wait besides the one that is answered."""

    def __init__(self, model: _Model, size: int) -> None:
        self._model, self._size = model, size
        self._waiting: deque[Ticket] = deque()
        self._running: Ticket | None = None
        self._changed = threading.Condition()  # its lock is reentrant: a signal may come while it is held
        self._is_closed = False
        self._answer_s = 1.0  # how long an answer takes, averaged
        self._thread = threading.Thread(target=self._work, name="mvlm-serve", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return len(self._waiting)

    @property
    def is_running(self) -> bool:
        """Whether a question is being answered."""
        return self._running is not None

    def submit(self, question: ServedQuestion, deliver: Callable[[Event], None]) -> Ticket:
        """Put ``question`` at the end of the line. ``deliver`` gets the pieces of its answer, then how it ended.

        Raises:
            ApiError: the line is full, or the server is stopping.
        """
        with self._changed:
            if self._is_closed:
                raise _stopping()
            if len(self._waiting) >= self._size:
                wait_s = max(1, math.ceil(self._answer_s * len(self._waiting)))
                raise ApiError(
                    429,
                    f"got a question while {len(self._waiting)} wait, expected fewer; try again in {wait_s} s",
                    code="queue_full",
                    headers={"Retry-After": str(wait_s)},
                )
            ticket = Ticket(question, deliver)
            self._waiting.append(ticket)
            self._changed.notify()
            return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Drop ``ticket``, or stop answering it after the current token."""
        with self._changed:
            ticket.cancelled.set()
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    def stop(self) -> None:
        """End all questions with an error, and accept no more. A signal handler of the main thread may call it."""
        with self._changed:
            self._is_closed = True
            dropped = [*self._waiting, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._changed.notify()
        for ticket in dropped:
            ticket.deliver(_stopping())
            ticket.cancelled.set()

    def close(self) -> None:
        """:meth:`stop`, and wait for the engine to return."""
        self.stop()
        self._thread.join()

    def _next(self) -> Ticket | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def _work(self) -> None:
        while ticket := self._next():
            begin = time.perf_counter()
            ticket.queue_s = begin - ticket.since

            def deliver(event: Event, ticket: Ticket = ticket) -> None:
                if not ticket.cancelled.is_set():
                    ticket.deliver(event)

            try:
                deliver(self._model.answer(ticket.question, deliver, ticket.cancelled.is_set))
            except ApiError as error:
                deliver(error)
            except Exception as error:
                # The server stays up: the model's mirror of its KV cache is discarded by such an error.
                reason = str(error) if isinstance(error, MobileVLMError) else type(error).__name__
                deliver(ApiError(500, f"engine: {reason}", code="engine_failed"))
            self._answer_s = 0.8 * self._answer_s + 0.2 * (time.perf_counter() - begin)


def _stopping() -> ApiError:
    return ApiError(503, "the server is stopping", code="stopping")
