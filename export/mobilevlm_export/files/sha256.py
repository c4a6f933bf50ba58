"""SHA-256 of files, with progress."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_CHUNK = 1 << 22


def file_sha256(path: Path, hashed: Callable[[int], None] = lambda count: None) -> str:
    """SHA-256 of the file ``path`` in hexadecimal; ``hashed`` is called with each count of bytes that were read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            hashed(len(chunk))
    return digest.hexdigest()
