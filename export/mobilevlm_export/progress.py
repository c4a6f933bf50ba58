"""Progress reports of long work: libraries call a function and never print."""

from __future__ import annotations

from typing import Protocol


class Bytes(int):
    """A number of bytes. Progress in ``Bytes`` is shown in MB."""


class Progress(Protocol):
    """Called as work proceeds; ``total`` is 0 when it isn't known in advance."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` units of ``stage`` are finished."""
        ...


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing; the default everywhere."""


def megabytes(count: int) -> str:
    """Format ``count`` bytes for display; 1 MB is a million bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
