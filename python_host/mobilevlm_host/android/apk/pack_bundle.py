"""Pack an APK for signing, with uncompressed libraries aligned to 16 KB so that phones with large pages can map them."""

from __future__ import annotations

import struct
import sys
import zipfile
from pathlib import Path

from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_host.android.apk.archive import PAGE_BYTES

_STORED = (".so", ".arsc", ".png", ".webp", ".zip")
_ALIGNED = 0xD935  # the extra field for alignment, which signing tools preserve
_EPOCH = (1981, 1, 1, 1, 1, 2)


def pack(out: Path, resources: Path, files: dict[str, Path]) -> None:
    """Write ``out``: the entries of ``resources`` (aapt2's archive), then ``files`` (name in the archive → path)."""
    with atomic_file(out) as beside, zipfile.ZipFile(beside, "w") as target:
        with zipfile.ZipFile(resources) as source:
            for name in source.namelist():
                _add(target, name, source.read(name))
        for name, file in files.items():
            _add(target, name, file.read_bytes())


def _add(target: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    if name.endswith(_STORED):
        info.compress_type = zipfile.ZIP_STORED
        alignment = PAGE_BYTES if name.endswith(".so") else 4
        begin = target.fp.tell() if target.fp else 0
        data_at = begin + 30 + len(name.encode()) + 6
        info.extra = struct.pack("<HHH", _ALIGNED, 2 + -data_at % alignment, alignment) + bytes(-data_at % alignment)
    else:
        info.compress_type = zipfile.ZIP_DEFLATED
    target.writestr(info, data)


if __name__ == "__main__":  # pack.py OUT RESOURCES [NAME=FILE]...
    pack(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        {name: Path(file) for name, _, file in (arg.partition("=") for arg in sys.argv[3:])},
    )
