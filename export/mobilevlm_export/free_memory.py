"""Return freed memory to the system: an export that keeps it would need as much again beside what it uses."""

from __future__ import annotations

import ctypes
import gc
import sys

# glibc's alone: it keeps what is freed between blocks in use, as weights are that are replaced one by one.
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def trim() -> None:
    """Return freed memory to the system, where the C library doesn't do so itself."""
    if _TRIM:
        _TRIM(0)


def collect() -> None:
    """Free what only cycles hold, as a Core ML program does its weights, and return it to the system."""
    gc.collect()
    trim()
