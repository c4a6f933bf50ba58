"""SHA-256 of files, with progress."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_CHUNK = 1 << 22


def file_sha256(path: Path, hashed: Callable[[int], None] = lambda count: None) -> str:
    """Hexadecimal SHA-256 of the file ``path``; ``hashed`` is called with the number of bytes of each chunk read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            hashed(len(chunk))
    return digest.hexdigest()
