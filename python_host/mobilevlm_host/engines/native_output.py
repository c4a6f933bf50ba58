"""Hide C++ output from the user's terminal, while Python can still print there."""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from typing import TextIO

# Of the descriptors, from the last call: another thread may still be in the middle of writing to one.
_used_copies: list[int] = []
_lock = threading.RLock()
_inside = False  # whether the thread that holds the lock is nested


@contextmanager
def native_output_hidden() -> Iterator[None]:
    """Redirect file descriptors 1 and 2 to the null device; ``sys.stdout`` and ``sys.stderr`` keep writing to their targets.

    Descriptors are process-wide: only one thread may be inside at a time, others wait.
    """
    global _inside
    with _lock:
        if _inside:  # already hidden
            yield
            return
        streams = {1: sys.stdout, 2: sys.stderr}
        saved = {descriptor: os.dup(descriptor) for descriptor in streams}
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            for descriptor, stream in streams.items():
                _flush(stream)
                os.dup2(nothing, descriptor)
            _inside = True
            sys.stdout, sys.stderr = (_elsewhere(streams[d], d, saved[d]) for d in (1, 2))
            yield
        finally:
            _inside = False
            _c_library().fflush(None)  # buffered C++ output must not appear later
            _flush(sys.stdout)
            _flush(sys.stderr)
            sys.stdout, sys.stderr = streams[1], streams[2]
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
            os.close(nothing)
            for copy in _used_copies:
                os.close(copy)
            _used_copies[:] = saved.values()


@contextmanager
def runtime_output_hidden() -> Iterator[None]:
    """Like :func:`native_output_hidden`, and hide Python's stderr too, which ExecuTorch's runtime logs to."""
    with native_output_hidden(), redirect_stderr(io.StringIO()):
        yield


def _elsewhere(stream: TextIO, descriptor: int, copy: int) -> TextIO:
    """``stream`` itself, or, if it writes to ``descriptor``, an equivalent stream that writes to ``copy``."""
    try:
        if stream.fileno() != descriptor:
            return stream
    except (OSError, ValueError, AttributeError):
        return stream
    return open(copy, "w", encoding=stream.encoding, errors=stream.errors, closefd=False, buffering=1)


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _flush(stream: TextIO | None) -> None:
    if stream is not None and not stream.closed:
        stream.flush()
