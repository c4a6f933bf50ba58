"""Name what commonly takes the place of a downloaded file: a Git LFS pointer, or a web page."""

from __future__ import annotations

from pathlib import Path

_LFS = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html")


def not_the_file(path: Path) -> str | None:
    """What ``path`` holds instead of the file that its name promises, for an error's "got"; None if nothing is known against it."""
    with path.open("rb") as file:
        begin = file.read(512)
    if not begin:
        return "an empty file"
    if begin.startswith(_LFS):
        return "a Git LFS pointer in place of the file (git lfs pull fetches it)"
    if begin.lstrip().lower().startswith(_PAGES):
        return "a web page in place of the file (download it again)"
    return None
