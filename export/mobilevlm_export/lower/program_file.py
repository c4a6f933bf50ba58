"""Read the tables of a finished ``.pte`` without its weights, so that reading takes no longer for gigabytes.

The tables are flatbuffers. ExecuTorch's package contains their schemas and ``flatc``, which reads them; neither ExecuTorch nor
torch is imported.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.dependencies.executorch_private import FLATC, PROGRAM_SCHEMA
from mobilevlm_export.dependencies.private_api import PrivateFile
from mobilevlm_export.errors import LoweringError

_IDENTIFIER = b"ET12"
# An extended header at byte 8: magic, its length, then the size of the tables and the offset of the segments after them.
_HEADER = struct.Struct("<4sIQQ")
_HEADER_AT, _HEADER_MAGIC = 8, b"eh00"
# Matches strings, which are kept, and the inf and nan that flatc writes for numbers that JSON doesn't have.
_TEXT_OR_NAME = re.compile(r'"(?:[^"\\]|\\.)*"|\b(?:inf|nan)\b')
_JSON_NAMES = {"inf": "Infinity", "nan": "NaN"}


@dataclass(frozen=True)
class Delegate:
    """A delegate of ``method``: its ``index`` there, its backend, and the backend's own ``data``, without the weights."""

    method: str
    index: int
    backend: str
    data: bytes


class ProgramFile:
    """The ``.pte`` at ``path``; ``tables`` holds everything in its schema as plain data."""

    def __init__(self, path: Path) -> None:
        """Read the tables.

        Raises:
            LoweringError: it is not an ExecuTorch program, is damaged, or can't be read by the installed ExecuTorch.
        """
        self.path = path
        with path.open("rb") as file:
            head = file.read(_HEADER_AT + _HEADER.size)
            if head[4:8] != _IDENTIFIER:
                raise LoweringError(
                    f"{path}: got {head[4:8]!r}, expected an ExecuTorch program ({_IDENTIFIER.decode()})"
                )
            size, self._segments_at = path.stat().st_size, 0
            if head[_HEADER_AT:].startswith(_HEADER_MAGIC) and len(head) == _HEADER_AT + _HEADER.size:
                _, _, size, self._segments_at = _HEADER.unpack_from(head, _HEADER_AT)
            file.seek(0)
            self.tables: dict[str, Any] = read_flatbuffer(file.read(size), PROGRAM_SCHEMA, path)
        if not self.tables.get("execution_plan"):
            raise LoweringError(f"{path}: got a program without methods, expected a complete program")

    def delegates(self) -> Iterator[Delegate]:
        """Every delegate of every method.

        Raises:
            LoweringError: the tables refer to data that is not in the file.
        """
        try:
            for plan in self.tables["execution_plan"]:
                for index, delegate in enumerate(plan["delegates"]):
                    yield Delegate(plan["name"], index, delegate["id"], self._data(delegate["processed"]))
        except (LookupError, OSError, OverflowError, ValueError) as error:
            raise LoweringError(
                f"{self.path}: got a delegate without its data ({error}), expected a complete program"
            ) from None

    def _data(self, at: dict[str, Any]) -> bytes:
        if at["location"] == "INLINE":
            return bytes(self.tables["backend_delegate_data"][at["index"]]["data"])
        segment = self.tables["segments"][at["index"]]
        with self.path.open("rb") as file:
            file.seek(self._segments_at + segment["offset"])
            return file.read(segment["size"])


def read_flatbuffer(data: bytes, schema: PrivateFile, where: Path) -> dict[str, Any]:
    """``data`` of ``where`` as plain data, by ``schema``.

    Raises:
        LoweringError: the data is damaged or of another schema.
        DependencyError: ExecuTorch's package lacks what reads it.
    """
    flatc, tables = FLATC.find(), schema.find()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data.bin").write_bytes(data)
        command = [str(flatc), "--json", "--strict-json", "--defaults-json", str(tables), "--", "data.bin"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        except OSError as error:
            raise LoweringError(f"{flatc}: {error.strerror}, expected ExecuTorch's flatc") from None
        if done.returncode:
            raise LoweringError(f"{where}: got tables that don't match {tables.name}, expected a complete program")
        text = Path(folder, "data.json").read_text(encoding="utf-8", errors="replace")
    values: dict[str, Any] = json.loads(_TEXT_OR_NAME.sub(lambda found: _JSON_NAMES.get(found[0], found[0]), text))
    return values
