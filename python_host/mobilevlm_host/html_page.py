"""HTML files of a command: one that stands there already is replaced only if the command wrote it, which its first line tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mobilevlm_export.errors import ParityError
from mobilevlm_export.files import atomic_file as atomic_file


def require_place(path: Path, first_line: bytes, called: str) -> None:
    """Raise ParityError unless ``path`` can be written: its folder exists, and what stands there begins with ``first_line``.
    ``called``: what errors call such a page, with its article.
    """
    noun = called.rpartition(" ")[2]
    if not path.parent.is_dir():
        raise ParityError(f"{path}: {path.parent} is no folder, expected one to write the {noun} to")
    atomic_file.require_place(path, error=ParityError, replaceable=_a_page(first_line, called))


def write_page(path: Path, first_line: bytes, called: str, page: str) -> None:
    """Write ``first_line`` and ``page`` to ``path``, whole or not at all; errors as :func:`require_place`."""
    with atomic_file.atomic_file(path, error=ParityError, replaceable=_a_page(first_line, called)) as beside:
        beside.write_bytes(first_line + b"\n" + page.encode())


def _a_page(first_line: bytes, called: str) -> atomic_file.Check:
    def refuse(path: Path) -> None:
        if path.is_dir():
            noun = called.rpartition(" ")[2]
            raise ParityError(f"{path}: is a folder, expected the name of a file to write the {noun} to")
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(first_line)) == first_line:
                    return
        raise ParityError(f"{path}: exists and isn't {called}, so it isn't replaced; name another file")

    return refuse


def render_page(package: str, **values: Any) -> str:
    """``page/report.html`` of ``package`` filled with ``values``; it may include what all pages share."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "page"), PackageLoader("mobilevlm_host", "page")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(values)
