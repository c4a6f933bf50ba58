"""Open and verify a bundle: artifacts, tokenizer and ``manifest.json`` in a folder ``NAME.mvlm``, or the same zipped."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from mobilevlm_export.bundle.archive import unzip
from mobilevlm_export.bundle.manifest import (
    EXECUTORCH_SINCE,
    MANIFEST,
    Manifest,
    read_manifest,
)
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import BundleError
from mobilevlm_export.files.atomic_file import recover
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.progress import Bytes, Progress, silent

_CHUNK = 1 << 22


class Bundle:
    """An opened, verified bundle. A zipped one is in a temporary folder ``path`` until it is closed or garbage-collected; ``source``
    is the zip then, otherwise the folder itself.
    """

    def __init__(
        self, path: Path, manifest: Manifest, temporary: ScratchFolder | None = None, source: Path | None = None
    ) -> None:
        self.path, self.manifest, self.source = path, manifest, source or path
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
            unzip(path, temporary.path)
            return cls(temporary.path, _verified(temporary.path, progress), temporary, path)
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
            BundleError: the bundle has none, or an ExecuTorch program of format 1, which reads constants that phones free.
        """
        artifacts = self.manifest.values["artifacts"]
        if backend not in artifacts:
            raise BundleError(f"{self.path}: got artifacts for {', '.join(artifacts) or 'nothing'}, expected {backend}")
        if backend == "executorch" and self.manifest.format_version < EXECUTORCH_SINCE:
            raise BundleError(
                f"{self.path}: got an ExecuTorch program of bundle format {self.manifest.format_version}, which gives wrong answers "
                f"on phones, expected format {EXECUTORCH_SINCE}: export it again"
            )
        return self.path / str(artifacts[backend]["file"])

    def tokenizer(self, kind: str = "model") -> Path:
        """The tokenizer's file: ``model`` for SentencePiece, ``json`` for the tokenizers library."""
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
    """Raise BundleError if ``file``, or its folder, is a link out of the bundle ``root``."""
    if not (real := file.resolve()).is_relative_to(root):
        raise BundleError(
            f"{file}: got a link to {real}, expected a file in the bundle (cp -rL copies a bundle with its linked files)"
        )
