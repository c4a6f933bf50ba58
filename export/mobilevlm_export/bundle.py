"""A bundle: artifacts, tokenizer and ``manifest.json`` in a folder ``NAME.mvlm``, or the same zipped.

The manifest says everything that a phone must know of the model, and lists every other file with its size and SHA-256. A bundle
is written complete or not at all, and verified when it is opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import BundleError
from mobilevlm_export.manifest import (
    EXECUTORCH_SINCE,
    FORMAT_VERSION,
    MANIFEST,
    FileEntry,
    Manifest,
    read_manifest,
    require_inside,
)
from mobilevlm_export.plain_zip import ZIP_FAULTS, plain_member
from mobilevlm_export.progress import Bytes, Progress, silent
from mobilevlm_export.scratch import ScratchFolder
from mobilevlm_export.terminal import megabytes
from mobilevlm_export.whole_file import Staged, recover, staged, whole_file

_CHUNK = 1 << 22


class Bundle:
    """An opened, verified bundle. A zipped one lives in a temporary folder until it is closed, or nothing refers to it any more."""

    def __init__(self, path: Path, manifest: Manifest, temporary: ScratchFolder | None = None) -> None:
        self.path, self.manifest = path, manifest
        self._temporary = temporary

    @classmethod
    def open(cls, path: str | Path, progress: Progress = silent) -> Bundle:
        """Open the folder or zip ``path`` and check every file against the manifest.

        Raises:
            BundleError: it is missing, damaged, incomplete, unsafe to unpack, or of a newer format.
        """
        path = Path(path)
        if not path.exists():
            recover(path)
        if path.is_dir():
            return cls(path, _verified(path, progress))
        if not path.is_file():
            raise BundleError(f"{path}: no such bundle, expected a folder NAME.mvlm or a file NAME.mvlm.zip")
        temporary = ScratchFolder()
        try:
            _unzip(path, temporary.path)
            return cls(temporary.path, _verified(temporary.path, progress), temporary)
        except BaseException:
            temporary.close()
            raise

    @property
    def config(self) -> MobileVLMConfig:
        """The model's sizes."""
        return self.manifest.config

    def artifact(self, backend: str) -> Path:
        """The program of ``backend``.

        Raises:
            BundleError: the bundle has none for it, or one for ExecuTorch of format 1: phones free constants that it reads.
        """
        artifacts = self.manifest.values["artifacts"]
        if backend not in artifacts:
            raise BundleError(f"{self.path}: got artifacts for {', '.join(artifacts) or 'nothing'}, expected {backend}")
        if backend == "executorch" and self.manifest.format_version < EXECUTORCH_SINCE:
            raise BundleError(
                f"{self.path}: got an ExecuTorch program of bundle format {self.manifest.format_version}, which answers wrongly "
                f"on phones, expected format {EXECUTORCH_SINCE}: export it again"
            )
        return self.path / str(artifacts[backend]["file"])

    def tokenizer(self, kind: str = "model") -> Path:
        """The tokenizer's file: ``model`` is SentencePiece's, ``json`` the same for the tokenizers library."""
        return self.path / str(self.manifest.values["tokenizer"][kind])

    def close(self) -> None:
        """Remove the temporary folder of a zipped bundle."""
        if self._temporary:
            self._temporary.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verified(folder: Path, progress: Progress) -> Manifest:
    root = folder.resolve()
    _require_own(folder / MANIFEST, root)
    manifest = read_manifest(folder / MANIFEST)
    total, done = Bytes(manifest.total_bytes), 0

    def hashed(count: int) -> None:
        nonlocal done
        done += count
        progress("verifying the bundle", Bytes(done), total)

    hashed(0)
    for entry in manifest.files:
        file = folder / entry.path
        _require_own(file, root)
        if not file.is_file():
            raise BundleError(f"{file}: missing, expected {entry.bytes} bytes")
        if file.stat().st_size != entry.bytes:
            raise BundleError(f"{file}: got {file.stat().st_size} bytes, expected {entry.bytes}")
        if (got := file_sha256(file, hashed)) != entry.sha256:
            raise BundleError(f"{file}: got SHA-256 {got[:16]}…, expected {entry.sha256[:16]}…: the file is damaged")
    return manifest


def _require_own(file: Path, root: Path) -> None:
    """Raise BundleError if ``file`` is elsewhere than in the bundle ``root``, by a link of its own or of its folder."""
    if not (real := file.resolve()).is_relative_to(root):
        raise BundleError(
            f"{file}: got a link to {real}, expected a file in the bundle (cp -rL copies a bundle with what its links name)"
        )


def file_sha256(path: Path, hashed: Callable[[int], None] = lambda count: None) -> str:
    """SHA-256 of the file ``path`` in hexadecimal; ``hashed`` is called with each count of bytes that were read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            hashed(len(chunk))
    return digest.hexdigest()


def write_bundle(
    output: Path,
    fill: Callable[[Path], Mapping[str, Any]],
    *,
    complete: Callable[[Bundle], None] | None = None,
    zipped: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Write the bundle ``output``: ``fill`` puts files into the folder it is given and returns the manifest without ``files``.
    ``complete`` may then add files that are made with the bundle itself, before anyone sees it. ``zipped`` writes it as a zip too.

    All of it happens in a folder beside ``output`` that is renamed at the end; whatever fails, nothing half-written stays. An existing
    ``output`` or zip is an error unless ``force``, and then replaced only once the new ones are complete.

    Raises:
        BundleError: ``output`` or the zip exists, or can't be written.
    """
    with _places(output, zipped, force) as (bundle, *archives):
        bundle.new.mkdir()
        values = {"format_version": FORMAT_VERSION, **fill(bundle.new)}
        manifest = _write_manifest(bundle.new, values)
        if complete:
            complete(Bundle(bundle.new, manifest))
            manifest = _write_manifest(bundle.new, values)
        for archive in archives:
            _zip(bundle.new, archive.new, f"writing {archive.output.name}", progress)
            archive.withdraw()  # a bundle never stands beside the zip of another
        bundle.put()
        for archive in archives:
            archive.put()
    return manifest


def zip_of(output: Path) -> Path:
    """Where the bundle ``output`` is written as a zip."""
    return output.with_name(output.name + ".zip")


def require_bundle_place(output: Path, *, zipped: bool = False, force: bool = False) -> None:
    """Raise the BundleError that :func:`write_bundle` would raise of ``output``, before the work that fills it."""
    with _places(output, zipped, force):
        pass


@contextmanager
def _places(output: Path, zipped: bool, force: bool) -> Iterator[list[Staged]]:
    """Of the bundle, and of its zip if there is to be one."""

    def replaceable(path: Path) -> None:
        if not force:
            raise BundleError(f"{path}: exists already; --force replaces it")
        if not (path.is_file() if path == zip_of(output) else (path / MANIFEST).is_file()):
            raise BundleError(f"{path}: isn't a bundle, so --force doesn't replace it")

    with ExitStack() as stack:
        outputs = [output, zip_of(output)] if zipped and output.name else [output]
        yield [stack.enter_context(staged(each, error=BundleError, replaceable=replaceable)) for each in outputs]


def complete_bundle(
    path: Path, complete: Callable[[Bundle], None], *, without: str, progress: Progress = silent
) -> Manifest:
    """Write the bundle ``path`` anew with what ``complete`` adds, in place of its folder ``without``; its other files stay.

    Raises:
        BundleError: ``path`` is no folder, is damaged, or can't be written.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: got no folder, expected a bundle NAME.mvlm (unpack a zipped one first)")
    old = Bundle.open(path, progress)

    def fill(beside: Path) -> Mapping[str, Any]:
        for entry in old.manifest.files:
            if PurePosixPath(entry.path).parts[0] != without:
                _link(path / entry.path, beside / entry.path)
        return old.manifest.values

    return write_bundle(path, fill, complete=complete, force=True)


def _link(source: Path, target: Path) -> None:
    """``target`` becomes ``source`` too: the same bytes, without a copy where the file system allows it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_manifest(folder: Path, values: dict[str, Any]) -> Manifest:
    values["files"] = [
        {"path": file.relative_to(folder).as_posix(), "bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    ]
    (folder / MANIFEST).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return read_manifest(folder / MANIFEST)


def zip_bundle(folder: Path, output: Path, progress: Progress = silent) -> None:
    """Write the bundle ``folder`` as the zip ``output``: the same bytes for the same bundle."""
    with whole_file(output, error=BundleError) as beside:
        _zip(folder, beside, f"writing {output.name}", progress)


def _zip(folder: Path, output: Path, stage: str, progress: Progress) -> None:
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    total, done = sum(file.stat().st_size for file in files), 0
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    done += len(chunk)
                    progress(stage, Bytes(done), Bytes(total))


def _unzip(path: Path, folder: Path) -> None:
    """Unpack the manifest, then only the files it lists, each exactly as long as it says, if the disk has room for all of them."""
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
                    "unpack it (TMPDIR names another place)"
                )
            for entry in manifest.files:
                _unpack(archive, entry.path, folder, entry.bytes, path)
    except (*ZIP_FAULTS, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to where no file has bytes
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
                raise BundleError(f"{path}: {name}: got more than the {limit} bytes that it may have")
            file.write(chunk)
