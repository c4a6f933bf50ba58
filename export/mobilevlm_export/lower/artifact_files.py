"""The files and folders that one backend writes into a bundle's folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def removed_on_failure(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Remove ``names``, files or folders of ``folder``, if they can't all be written."""
    try:
        yield
    except BaseException:
        for name in names:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name, ignore_errors=True)
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def total_bytes(folder: Path, names: Sequence[str]) -> int:
    """The size of ``names``, files or folders of ``folder``."""
    found = (file for name in names for file in ((folder / name), *(folder / name).rglob("*")))
    return sum(file.stat().st_size for file in found if file.is_file())
