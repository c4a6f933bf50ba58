"""Self-contained HTML pages written by commands. A page replaces an older page at the same path, but no other file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.files.atomic_file import require_place as require_file_place


@dataclass(frozen=True)
class Page:
    """The page ``templates/NAME.html``; ``noun`` is its name in errors. Its first line identifies the command that wrote it."""

    name: str
    noun: str

    @property
    def first_line(self) -> bytes:
        """The first line, which identifies an older page."""
        return f"<!doctype html><!-- mvlm {self.name} -->".encode()

    def require_place(self, path: Path) -> None:
        """Raise OutputError unless ``path`` can be written: its folder exists, and an existing file is an older page."""
        if not path.parent.is_dir():
            raise OutputError(f"{path}: {path.parent} is not a folder, expected one to write the {self.noun} to")
        require_file_place(path, error=OutputError, replaceable=self._require_older)

    def write(self, path: Path, **values: Any) -> None:
        """Write the page, filled with ``values``, to ``path`` atomically; errors as :meth:`require_place`."""
        with atomic_file(path, error=OutputError, replaceable=self._require_older) as temporary:
            temporary.write_bytes(self.first_line + b"\n" + self.render(**values).encode())

    def render(self, **values: Any) -> str:
        """The page without its first line."""
        environment = Environment(
            loader=PackageLoader("mobilevlm_host.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template(f"{self.name}.html").render(values)

    def _require_older(self, path: Path) -> None:
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, expected the name of a file to write the {self.noun} to")
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(self.first_line)) == self.first_line:
                    return
        raise OutputError(f"{path}: exists and isn't a {self.noun}, so it was not replaced; choose another file")
