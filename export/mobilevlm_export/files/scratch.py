"""Temporary folders that are cleaned up even if their process is killed.

Each is locked while in use. Creating another folder of the same name removes those whose lock is free: their owner was killed.
The system releases a lock when its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_LONGEST_STEM = 100  # bytes; names have at most 255


class ScratchFolder:
    """A new private folder ``path``. It is removed by ``close``, or when nothing refers to this object anymore."""

    def __init__(
        self, parent: Path | None = None, name: str = "mvlm", rescue: Callable[[Path], None] | None = None
    ) -> None:
        """Create it in ``parent`` (default: the system's temporary folder), after :func:`sweep` has removed stale ones."""
        parent = parent or Path(tempfile.gettempdir())
        sweep(parent, name, rescue)
        self.path, descriptor = _locked(parent, name)
        self._remove = weakref.finalize(self, _remove, self.path, descriptor)

    def close(self) -> None:
        """Remove the folder and everything in it."""
        self._remove()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep(parent: Path, name: str, rescue: Callable[[Path], None] | None = None) -> None:
    """Remove the folders that killed processes left in ``parent`` under ``name``; ``rescue`` is called on each before."""
    stale = re.compile(rf"\.{re.escape(_stem(name))}\.[a-z0-9_]{{8}}\.part")
    try:
        found = [Path(entry.path) for entry in os.scandir(parent) if stale.fullmatch(entry.name) and _is_own(entry)]
    except OSError:
        return
    for path in found:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use, or on a file system without locks
            os.close(descriptor)
            continue
        if rescue:
            rescue(path)
        _remove(path, descriptor)


def _is_own(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()


def _locked(parent: Path, name: str) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f".{_stem(name)}.", suffix=".part", dir=parent))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # swept by another process before it could be locked
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue  # being swept
        except OSError:
            return path, descriptor  # a file system without locks: no process sweeps there
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _stem(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[:_LONGEST_STEM])


def _remove(path: Path, descriptor: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)
