"""Read the parts of a shared library that loading depends on: segments, needed libraries, exported names, strings."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property

from mobilevlm_export.errors import ApkError

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 1, 5, 6, 10
_SHT_DYNSYM = 11
MACHINES = {"arm64-v8a": 183, "x86_64": 62}


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int
    alignment: int


class SharedLibrary:
    """A 64-bit little-endian ELF file for Android."""

    def __init__(self, name: str, data: bytes) -> None:
        """Parse ``data``; raises ``ApkError`` if it is not such a file."""
        self.name, self.data = name, data
        if data[:6] != b"\x7fELF\x02\x01":
            raise ApkError(f"{name}: got {data[:6]!r}, expected a 64-bit little-endian ELF file")
        try:
            self.machine: int = struct.unpack_from("<H", data, 18)[0]
            start, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
            self._segments = [self._segment(start + 56 * index) for index in range(count)]
            self._tables = self._dynamic()
        except struct.error as error:
            raise ApkError(f"{name}: {error}, expected a complete ELF file") from error

    def _segment(self, at: int) -> _Segment:
        kind, _, offset, address, _, size, _, alignment = struct.unpack_from("<IIQQQQQQ", self.data, at)
        return _Segment(kind, offset, address, size, alignment)

    def _dynamic(self) -> list[tuple[int, int]]:
        entries = []
        for segment in self._segments:
            if segment.kind == _PT_DYNAMIC:
                entries = list(struct.iter_unpack("<qQ", self.data[segment.offset : segment.offset + segment.size]))
        return entries

    def _offset(self, address: int) -> int:
        for segment in self._segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise ApkError(f"{self.name}: got address {address:#x} outside all segments, expected a complete ELF file")

    @property
    def alignment(self) -> int:
        """The smallest alignment of its loaded segments, in bytes."""
        return min((segment.alignment for segment in self._segments if segment.kind == _PT_LOAD), default=0)

    @cached_property
    def needed(self) -> list[str]:
        """The libraries that it depends on."""
        strings = self._dynamic_strings()
        return [_text(strings, value) for tag, value in self._tables if tag == _DT_NEEDED]

    @cached_property
    def exports(self) -> set[str]:
        """The names that it exports."""
        strings = self._dynamic_strings()
        symbols = self._value(_DT_SYMTAB)
        if symbols is None:
            return set()
        at, end = self._offset(symbols), self._symbols_end(self._offset(symbols))
        names = set()
        for name, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", self.data[at:end]):
            if section:  # defined here
                names.add(_text(strings, name))
        return names

    def has_string(self, text: str) -> bool:
        """Whether it contains the C string ``text``, possibly as the end of a longer one, because linkers merge strings."""
        return self.data.find(text.encode() + b"\0") >= 0

    def _value(self, tag: int) -> int | None:
        return next((value for key, value in self._tables if key == tag), None)

    def _dynamic_strings(self) -> bytes:
        address, size = self._value(_DT_STRTAB), self._value(_DT_STRSZ)
        if address is None or size is None:
            raise ApkError(f"{self.name}: got no dynamic section, expected a shared library")
        at = self._offset(address)
        return self.data[at : at + size]

    def _symbols_end(self, begin: int) -> int:
        table, size, count = (
            struct.unpack_from("<Q", self.data, 40)[0],
            struct.unpack_from("<H", self.data, 58)[0],
            struct.unpack_from("<H", self.data, 60)[0],
        )
        for index in range(count):
            kind, _, _, offset, length = struct.unpack_from("<IQQQQ", self.data, table + size * index + 4)
            if kind == _SHT_DYNSYM and offset == begin:
                return int(offset + length)
        raise ApkError(f"{self.name}: got no dynamic symbols, expected a section of them")


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()
