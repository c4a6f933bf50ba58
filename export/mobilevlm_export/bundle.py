"""A bundle: artifacts, tokenizer and ``manifest.json`` in a folder ``NAME.mvlm``, or the same zipped.

The manifest (schema version 1, described in ``docs/bundle-format.md``) says everything that a phone must know of the model, and
lists every other file with its size and SHA-256. A bundle is written complete or not at all, and verified when it is opened.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import BundleError, ConfigError
from mobilevlm_export.progress import Progress, silent

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 22
_REQUIRED: dict[str, type] = {
    "kit_version": str,
    "source": dict,
    "model": dict,
    "image": dict,
    "prompt": dict,
    "tokenizer": dict,
    "artifacts": dict,
    "quantization": dict,
    "context": dict,
    "memory": dict,
    "files": list,
}


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle: its path inside, size in bytes and SHA-256 in hexadecimal."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The parsed ``manifest.json``: ``values`` as written, ``files`` and ``config`` checked."""

    values: Mapping[str, Any]
    files: tuple[FileEntry, ...]
    config: MobileVLMConfig

    @property
    def source_sha256(self) -> str:
        """The hash of the checkpoint that the bundle was made from."""
        return str(self.values["source"]["sha256"])

    @property
    def max_context(self) -> int:
        """The longest conversation in tokens, the image's included."""
        return int(self.values["context"]["max_context"])

    @property
    def max_prefill(self) -> int:
        """The longest input of one call of ``text_decoder``, in tokens."""
        return int(self.values["context"]["max_prefill"])


def read_manifest(path: Path) -> Manifest:
    """Parse and check the manifest in the file ``path``.

    Raises:
        BundleError: it is missing, malformed, of a newer format, or names a path outside the bundle.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file, expected a bundle's manifest") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: got {error}, expected a JSON object") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{path}: format_version: got {version!r}, expected {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: got format version {version}, expected at most {FORMAT_VERSION}: update mobilevlm-kit"
        )
    for key, kind in _REQUIRED.items():
        if not isinstance(values.get(key), kind):
            raise BundleError(f"{path}: {key}: got {values.get(key)!r:.60}, expected {kind.__name__}")
    for key in ("max_context", "max_prefill"):
        if not isinstance(values["context"].get(key), int):
            raise BundleError(f"{path}: context.{key}: got {values['context'].get(key)!r}, expected a number")
    if not isinstance(values["source"].get("sha256"), str):
        raise BundleError(f"{path}: source.sha256: got {values['source'].get('sha256')!r}, expected a hash")
    try:
        config = MobileVLMConfig.from_json(values["model"], path)
    except ConfigError as error:
        raise BundleError(str(error)) from None
    return Manifest(values, tuple(_file_entry(entry, path) for entry in values["files"]), config)


def _file_entry(entry: Any, manifest: Path) -> FileEntry:
    fields = {"path": str, "bytes": int, "sha256": str}
    if not isinstance(entry, dict) or any(not isinstance(entry.get(key), kind) for key, kind in fields.items()):
        raise BundleError(f"{manifest}: files: got {entry!r:.80}, expected path, bytes and sha256")
    _require_inside(entry["path"], manifest)
    return FileEntry(entry["path"], entry["bytes"], entry["sha256"])


def _require_inside(name: str, where: Path) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise BundleError(f"{where}: got the path {name!r}, expected one inside the bundle")


class Bundle:
    """An opened, verified bundle. A zipped one lives in a temporary folder until it is closed."""

    def __init__(self, path: Path, manifest: Manifest, temporary: Path | None = None) -> None:
        self.path, self.manifest, self._temporary = path, manifest, temporary

    @classmethod
    def open(cls, path: str | Path, progress: Progress = silent) -> Bundle:
        """Open the folder or zip ``path`` and check every file against the manifest.

        Raises:
            BundleError: it is missing, damaged, incomplete, unsafe to unpack, or of a newer format.
        """
        path = Path(path)
        if path.is_dir():
            return cls(path, _verified(path, progress))
        if not path.is_file():
            raise BundleError(f"{path}: no such bundle, expected a folder NAME.mvlm or a file NAME.mvlm.zip")
        temporary = Path(tempfile.mkdtemp(prefix="mvlm-"))
        try:
            _unzip(path, temporary)
            return cls(temporary, _verified(temporary, progress), temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    @property
    def config(self) -> MobileVLMConfig:
        """The model's sizes."""
        return self.manifest.config

    def artifact(self, backend: str) -> Path:
        """The program of ``backend``.

        Raises:
            BundleError: the bundle has none for it.
        """
        artifacts = self.manifest.values["artifacts"]
        if backend not in artifacts:
            raise BundleError(f"{self.path}: got artifacts for {', '.join(artifacts) or 'nothing'}, expected {backend}")
        return self.path / str(artifacts[backend]["file"])

    def tokenizer(self, kind: str = "model") -> Path:
        """The tokenizer's file: ``model`` is SentencePiece's, ``json`` the same for the tokenizers library."""
        return self.path / str(self.manifest.values["tokenizer"][kind])

    def close(self) -> None:
        """Remove the temporary folder of a zipped bundle."""
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verified(folder: Path, progress: Progress) -> Manifest:
    manifest = read_manifest(folder / MANIFEST)
    listed = {entry.path for entry in manifest.files}
    for artifact in manifest.values["artifacts"].values():
        if artifact.get("file") not in listed:
            raise BundleError(
                f"{folder / MANIFEST}: artifact {artifact.get('file')!r} isn't in files, expected its hash there"
            )
    total, done = sum(entry.bytes for entry in manifest.files), 0
    for entry in manifest.files:
        file = folder / entry.path
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise BundleError(f"{file}: missing, expected {entry.bytes} bytes")
        if file.stat().st_size != entry.bytes:
            raise BundleError(f"{file}: got {file.stat().st_size} bytes, expected {entry.bytes}")
        if (got := file_sha256(file)) != entry.sha256:
            raise BundleError(f"{file}: got SHA-256 {got[:16]}…, expected {entry.sha256[:16]}…: the file is damaged")
        done += entry.bytes
        progress("verifying the bundle", done, total)
    return manifest


def file_sha256(path: Path) -> str:
    """SHA-256 of the file ``path`` in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(output: Path, fill: Callable[[Path], Mapping[str, Any]], *, force: bool = False) -> Manifest:
    """Write the bundle ``output``: ``fill`` puts files into the folder it is given and returns the manifest without ``files``.

    All of it happens in a folder beside ``output`` that is renamed at the end; whatever fails, nothing half-written stays. An existing
    ``output`` is an error unless ``force``, and then replaced only once the new one is complete and verified.

    Raises:
        BundleError: ``output`` exists, or can't be written.
    """
    if output.exists() and not force:
        raise BundleError(f"{output}: exists already; --force replaces it")
    if output.exists() and not (output / MANIFEST).is_file():
        raise BundleError(f"{output}: isn't a bundle, so --force doesn't replace it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise BundleError(f"{output}: {error.strerror}, expected a place to write") from None
    try:
        beside.chmod(0o755)
        values = {"format_version": FORMAT_VERSION, **fill(beside)}
        values["files"] = [
            {"path": file.relative_to(beside).as_posix(), "bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in sorted(beside.rglob("*"))
            if file.is_file()
        ]
        (beside / MANIFEST).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        manifest = read_manifest(beside / MANIFEST)
        _replace(beside, output)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if error.errno == errno.ENOSPC:
            raise BundleError(
                f"{output}: the disk is full, expected room for the bundle; nothing was written"
            ) from None
        raise
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return manifest


def _replace(new: Path, output: Path) -> None:
    if not output.exists():
        new.rename(output)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{output.name}.old.", dir=output.parent))
    output.rename(aside / "old")
    try:
        new.rename(output)
    except BaseException:
        (aside / "old").rename(output)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def zip_bundle(folder: Path, output: Path) -> None:
    """Write the bundle ``folder`` as the zip ``output``: the same bytes for the same bundle."""
    beside = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for file in sorted(item for item in folder.rglob("*") if item.is_file()):
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, _CHUNK)
        os.replace(beside, output)
    finally:
        beside.unlink(missing_ok=True)


def _unzip(path: Path, folder: Path) -> None:
    """Unpack the manifest, then only the files it lists, each at most as long as it says."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                _require_inside(name, path)
            _unpack(archive, MANIFEST, folder, 1 << 24, path)
            for entry in read_manifest(folder / MANIFEST).files:
                _unpack(archive, entry.path, folder, entry.bytes, path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{path}: got a damaged archive ({error}), expected a zipped bundle") from None


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path, limit: int, path: Path) -> None:
    try:
        source = archive.open(name)
    except KeyError:
        raise BundleError(f"{path}: {name} is missing, expected it in the archive") from None
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        left = limit
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise BundleError(f"{path}: {name}: got more than the {limit} bytes that it may have")
            file.write(chunk)
