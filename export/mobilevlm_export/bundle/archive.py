"""Zipped bundles: reproducible byte for byte, and unpacked without leaving their folder or filling the disk."""

from __future__ import annotations

import errno
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from mobilevlm_export.bundle.manifest import MANIFEST, FileEntry, read_manifest, require_inside
from mobilevlm_export.errors import BundleError
from mobilevlm_export.files.plain_zip import ZIP_FAULTS, plain_member
from mobilevlm_export.progress import Bytes, Progress, megabytes

_CHUNK = 1 << 22


def zip_folder(folder: Path, output: Path, stage: str, progress: Progress) -> None:
    """Write all of ``folder`` to the zip ``output``; ``stage`` is its name in ``progress``. The same files give the same bytes."""
    zip_files(folder, [item for item in folder.rglob("*") if item.is_file()], output, stage, progress)


def zip_files(folder: Path, files: Sequence[Path], output: Path, stage: str, progress: Progress) -> None:
    """As ``zip_folder``, but only ``files`` of ``folder``."""
    total, done = sum(file.stat().st_size for file in files), 0
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(files):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    done += len(chunk)
                    progress(stage, Bytes(done), Bytes(total))


def unzip(path: Path, folder: Path) -> None:
    """Unpack the manifest, then exactly the files that it lists with the sizes that it gives, if the disk has room for them."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                require_inside(name, path)
            _unpack(archive, MANIFEST, folder, 1 << 24, path)
            manifest = read_manifest(folder / MANIFEST)
            for entry in manifest.files:
                _require_size(archive, entry, path)
            if (room := shutil.disk_usage(folder).free) < manifest.total_bytes:
                raise BundleError(
                    f"{path}: got {megabytes(room)} free in {folder.parent}, expected {megabytes(manifest.total_bytes)} to "
                    "unpack it (TMPDIR selects another folder)"
                )
            for entry in manifest.files:
                _unpack(archive, entry.path, folder, entry.bytes, path)
    except (*ZIP_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a seek to an invalid offset
            raise
        raise BundleError(f"{path}: got a damaged archive ({error!s:.100}), expected a zipped bundle") from None


def _require_size(archive: zipfile.ZipFile, entry: FileEntry, path: Path) -> None:
    if (got := _listed(archive, entry.path, path).file_size) != entry.bytes:
        raise BundleError(f"{path}: {entry.path}: got {got} bytes, expected {entry.bytes}")


def _listed(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    try:
        return plain_member(archive, name)
    except KeyError:
        raise BundleError(f"{path}: {name} is missing, expected it in the archive") from None


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, limit: int, path: Path) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(_listed(archive, name, path)) as source, target.open("wb") as file:
        left = limit
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise BundleError(f"{path}: {name}: got more than {limit} bytes, expected at most that")
            file.write(chunk)
