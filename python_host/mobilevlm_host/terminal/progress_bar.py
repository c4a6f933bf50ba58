"""Progress display: one line at the bottom of a terminal, or lines in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from mobilevlm_export.progress import Bytes

_PLAIN_INTERVAL_S = 10.0
_REDRAWN_S = 0.2
_SHORT_S = 0.5  # shorter stages aren't drawn
_BAR_WIDTH = 24
_ERASE = "\r\x1b[K"


class _Pace:
    """The pace of a stage, not counting its first step, which often includes loading."""

    def __init__(self, now: float, done: int) -> None:
        self._start(now, done)

    def _start(self, now: float, done: int) -> None:
        self.begin = now
        self._since, self._first = (now, done), True

    def step(self, now: float, done: int) -> None:
        if done < self._since[1]:  # the stage begins again
            self._start(now, done)
        elif self._first and done > self._since[1]:
            self._since, self._first = (now, done), False

    def left(self, now: float, done: int, total: int) -> str:
        """The remaining time as ``0:02:28 left``; empty if not known yet."""
        since, done_then = self._since
        if done == done_then or done >= total:
            return ""
        return f"{_span((now - since) / (done - done_then) * (total - done))} left"


class TerminalProgress:
    """The current stage on one line, which is erased at the end, so that it doesn't mix with results."""

    def __init__(self, terminal: TextIO) -> None:
        # A separate descriptor, not affected by redirections of the standard ones.
        self._out = open(os.dup(terminal.fileno()), "w", encoding=terminal.encoding, errors="replace")  # noqa: SIM115
        self._lock = threading.RLock()
        self._stages: dict[str, tuple[_Pace, int, int]] = {}  # started stages; the last one is drawn
        self._drawn = False
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, daemon=True)
        self._painter.start()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See :class:`~mobilevlm_export.progress.Progress`."""
        now = time.monotonic()
        with self._lock:
            for other in [name for name, (_, _, known) in self._stages.items() if not known and name != stage]:
                del self._stages[other]  # a stage of unknown length ends when another one starts
            pace, _, _ = self._stages.pop(stage, (_Pace(now, done), 0, 0))
            pace.step(now, done)
            if total and done >= total:
                self._erase()
            else:
                self._stages[stage] = pace, done, total

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the line within this context."""
        with self._lock:
            self._erase()
            yield

    def close(self) -> None:
        """Erase the line permanently."""
        self._over.set()
        self._painter.join()
        with self._lock:
            self._erase()
            self._out.close()

    def _paint(self) -> None:
        while not self._over.wait(_REDRAWN_S):
            with self._lock:
                if self._stages:
                    stage, (pace, done, total) = next(reversed(self._stages.items()))
                    if time.monotonic() - pace.begin >= _SHORT_S:
                        self._write(_ERASE + self._line(stage, pace, done, total))
                        self._drawn = True

    def _line(self, stage: str, pace: _Pace, done: int, total: int) -> str:
        now = time.monotonic()
        when = pace.left(now, done, total) or _span(now - pace.begin)
        parts = [stage, *((self._bar(done / total), _count(done, total)) if total else ()), when]
        try:
            width = os.get_terminal_size(self._out.fileno()).columns
        except OSError:
            width = 80
        line = "  ".join(parts)
        if len(line) >= width and total:
            line = "  ".join((stage, _count(done, total), when))
        return line[: max(width - 1, 1)]

    def _bar(self, share: float) -> str:
        full = round(share * _BAR_WIDTH)
        try:
            "━─".encode(self._out.encoding)
        except UnicodeEncodeError:
            return "#" * full + "-" * (_BAR_WIDTH - full)
        return "━" * full + "─" * (_BAR_WIDTH - full)

    def _erase(self) -> None:
        if self._drawn:
            self._write(_ERASE)
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:  # the terminal was closed; the work continues
            pass


class PlainProgress:
    """Lines for logs: each stage once when it starts, then at most every ten seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._drawn = 0.0
        self._pace = _Pace(0.0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """See :class:`~mobilevlm_export.progress.Progress`."""
        now = time.monotonic()
        if stage != self._stage:
            self._pace = _Pace(now, done)
        else:
            self._pace.step(now, done)
            if now - self._drawn < _PLAIN_INTERVAL_S:
                return
        self._stage, self._drawn = stage, now
        count = f" {_count(done, total)}" if total and done else ""
        left = self._pace.left(now, done, total)
        print(f"{stage}{count}{', ' if left else ''}{left}", file=sys.stderr, flush=True)


def _count(done: int, total: int) -> str:
    if not isinstance(total, Bytes):
        return f"{done}/{total}"
    unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    return f"{done / unit:.1f}/{total / unit:.1f} {name}"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
