"""Recognize what is commonly downloaded instead of a file: a Git LFS pointer, or a web page."""

from __future__ import annotations

from pathlib import Path

_LFS = b"version https://git-lfs"
_PAGES = (b"<!doctype html", b"<html")


def not_the_file(path: Path) -> str | None:
    """What ``path`` contains instead of the expected file, for an error's "got"; None if it may be the file."""
    with path.open("rb") as file:
        begin = file.read(512)
    if not begin:
        return "an empty file"
    if begin.startswith(_LFS):
        return "a Git LFS pointer instead of the file (git lfs pull fetches it)"
    if begin.lstrip().lower().startswith(_PAGES):
        return "a web page instead of the file (download it again)"
    return None
