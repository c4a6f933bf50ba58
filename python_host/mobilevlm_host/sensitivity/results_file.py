"""What was measured, kept in the kit's cache, so that a command that was interrupted continues, and a second one reuses it.

A file belongs to a checkpoint, its samples, the time limit, and the code that quantizes and measures: its name is their hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mobilevlm_export
import mobilevlm_host
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.files.cache import cache_folder
from mobilevlm_export.files.code_hash import code_sha256

_CODE = ((mobilevlm_export, "model"), (mobilevlm_export, "quantize"), (mobilevlm_host, "sensitivity"))


class ResultsFile:
    """Values by name, written to the file as soon as they are set. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values: dict[str, Any] = {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._values = found

    @classmethod
    def of(cls, *subjects: str | bytes) -> ResultsFile:
        """The file for what ``subjects`` identify."""
        whole = hashlib.sha256()
        for subject in (*subjects, code_sha256(_CODE)):
            whole.update(hashlib.sha256(subject.encode() if isinstance(subject, str) else subject).digest())
        return cls(cache_folder("sensitivity") / f"{whole.hexdigest()[:32]}.json")

    @property
    def measured(self) -> int:
        """How many results there are."""
        return len(self._values)

    def get(self, name: str) -> Any:
        """The value of ``name``; None if there is none."""
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Set ``name`` to plain data. Errors as :func:`atomic_file`."""
        self._values[name] = value
        with atomic_file(self.path) as beside:
            beside.write_text(json.dumps(self._values), encoding="utf-8")
