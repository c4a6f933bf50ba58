"""Write a bundle, completely or not at all, as a folder and optionally a zip."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mobilevlm_export.bundle.archive import zip_folder
from mobilevlm_export.bundle.manifest import FORMAT_VERSION, MANIFEST, Manifest, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.files.atomic_file import Staged, atomic_file, staged
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.progress import Progress, silent


class NewBundle:
    """A bundle being written: ``folder`` is for its files, :meth:`seal` writes its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._values: dict[str, Any] | None = None

    def seal(self, values: Mapping[str, Any]) -> Bundle:
        """Write the manifest from ``values`` and the files in the folder, and return the bundle, which can be run before it is in place.

        Files added later are listed when :func:`new_bundle` ends.
        """
        self._values = {"format_version": FORMAT_VERSION, **values}
        return Bundle(self.folder, self._write_manifest())

    def finish(self) -> None:
        """Add the files written since :meth:`seal` to the manifest."""
        assert self._values is not None, "a bundle must be sealed before it is moved into place"
        listed = {entry["path"] for entry in self._values["files"]}
        if listed != {file.relative_to(self.folder).as_posix() for file in self._files()}:
            self._write_manifest()

    def _write_manifest(self) -> Manifest:
        assert self._values is not None
        self._values["files"] = [
            {
                "path": file.relative_to(self.folder).as_posix(),
                "bytes": file.stat().st_size,
                "sha256": file_sha256(file),
            }
            for file in self._files()
        ]
        path = self.folder / MANIFEST
        path.write_text(json.dumps(self._values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return read_manifest(path)

    def _files(self) -> list[Path]:
        return [file for file in sorted(self.folder.rglob("*")) if file.is_file() and file != self.folder / MANIFEST]


@contextmanager
def new_bundle(
    output: Path, *, zipped: bool = False, force: bool = False, progress: Progress = silent
) -> Iterator[NewBundle]:
    """Create the bundle ``output``, and its zip if ``zipped``; the caller adds its files and then seals it.

    It is written to a folder next to ``output`` that is renamed at the end; if anything fails, nothing incomplete is left. An existing
    ``output`` or zip is an error unless ``force``, and is then replaced only once the new one is complete.

    Raises:
        BundleError: ``output`` or the zip exists, or can't be written.
    """
    with _places(output, zipped, force) as (bundle, *archives):
        bundle.new.mkdir()
        new = NewBundle(bundle.new)
        yield new
        new.finish()
        for archive in archives:
            zip_folder(bundle.new, archive.new, f"writing {archive.output.name}", progress)
            archive.withdraw()  # so that a bundle is never next to another bundle's zip
        bundle.put()
        for archive in archives:
            archive.put()


def zip_of(output: Path) -> Path:
    """The path of the zip of the bundle ``output``."""
    return output.with_name(output.name + ".zip")


@contextmanager
def _places(output: Path, zipped: bool, force: bool) -> Iterator[list[Staged]]:
    """The places of the bundle and, if ``zipped``, of its zip."""

    def replaceable(path: Path) -> None:
        if not force:
            raise BundleError(f"{path}: already exists; --force replaces it")
        if not (path.is_file() if path == zip_of(output) else (path / MANIFEST).is_file()):
            raise BundleError(f"{path}: isn't a bundle, so --force doesn't replace it")

    with ExitStack() as stack:
        outputs = [output, zip_of(output)] if zipped and output.name else [output]
        yield [stack.enter_context(staged(each, error=BundleError, replaceable=replaceable)) for each in outputs]


@contextmanager
def rewritten_bundle(path: Path, *, without: str, progress: Progress = silent) -> Iterator[Bundle]:
    """Replace the bundle ``path`` (a folder) with one that lacks the folder ``without`` and to which the caller may add files.

    Raises:
        BundleError: ``path`` is not a folder, is damaged, or can't be written.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: got no folder, expected a bundle NAME.mvlm (unpack a zipped one first)")
    old = Bundle.open(path, progress)
    with new_bundle(path, force=True) as new:
        for entry in old.manifest.files:
            if PurePosixPath(entry.path).parts[0] != without:
                _link(path / entry.path, new.folder / entry.path)
        yield new.seal(old.manifest.values)


def _link(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a copy where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def zip_bundle(folder: Path, output: Path, progress: Progress = silent) -> None:
    """Write the bundle ``folder`` as the zip ``output``: the same bytes for the same bundle."""
    with atomic_file(output, error=BundleError) as beside:
        zip_folder(folder, beside, f"writing {output.name}", progress)
