"""What code computed a result that is kept: results of other code aren't reused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from mobilevlm_export import __version__


def code_sha256(folders: Iterable[tuple[ModuleType, str]]) -> str:
    """A hash of the kit's version and of the source files in ``folders``: packages, each with the name of a folder in it."""
    whole = hashlib.sha256(__version__.encode())
    for package, folder in folders:
        for file in sorted((Path(package.__path__[0]) / folder).glob("*.py")):
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
