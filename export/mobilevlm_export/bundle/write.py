"""Write a bundle: complete or not at all, as a folder and, if asked for, a zip."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
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
            zip_folder(bundle.new, archive.new, f"writing {archive.output.name}", progress)
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
    with atomic_file(output, error=BundleError) as beside:
        zip_folder(folder, beside, f"writing {output.name}", progress)
