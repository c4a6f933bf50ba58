"""The kit's cache of files that can be recreated."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder ``name`` of the kit's cache: ``~/.cache/mobilevlm-kit``, or under ``XDG_CACHE_HOME``. It may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mobilevlm-kit" / name
