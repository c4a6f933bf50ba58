"""An Android app's archive: its files and their offsets."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from mobilevlm_export.errors import ApkError
from mobilevlm_host.android.apk.elf import SharedLibrary

PAGE_BYTES = 16_384


class Apk:
    """An APK, open for reading."""

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises ``ApkError`` if it is not an archive."""
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ApkError(f"{path}: {error}, expected an APK") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> list[str]:
        """The names of the entries, in order."""
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """The bytes of the entry ``name``."""
        return self._zip.read(name)

    def libraries(self) -> dict[str, dict[str, SharedLibrary]]:
        """ABI → file name → library."""
        found: dict[str, dict[str, SharedLibrary]] = {}
        for name in self.names:
            if name.startswith("lib/") and name.endswith(".so"):
                _, abi, file = name.split("/")
                found.setdefault(abi, {})[file] = SharedLibrary(name, self.read(name))
        return found

    def misaligned(self) -> list[str]:
        """Uncompressed entries without the alignment that Android needs to map them: 16 KB for libraries, 4 bytes for all others."""
        wrong = []
        for info in self._zip.infolist():
            needed = PAGE_BYTES if info.filename.endswith(".so") else 4
            if info.compress_type == zipfile.ZIP_STORED and self._data_offset(info) % needed:
                wrong.append(f"{info.filename} at {self._data_offset(info)}")
        return wrong

    def compressed(self) -> list[str]:
        """Compressed entries that Android requires to be uncompressed."""
        return [
            info.filename
            for info in self._zip.infolist()
            if info.compress_type != zipfile.ZIP_STORED and info.filename.endswith((".so", "resources.arsc"))
        ]

    def _data_offset(self, info: zipfile.ZipInfo) -> int:
        file = self._zip.fp
        if file is None:
            raise ApkError(f"{self.path}: closed, expected an open archive")
        file.seek(info.header_offset)
        name, extra = struct.unpack_from("<HH", file.read(30), 26)
        return int(info.header_offset + 30 + name + extra)
