"""Open a bundle: a folder, a zip, or a repository of the hub to download it from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle.archive import unzip
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.files.atomic_file import atomic_folder
from mobilevlm_export.files.cache import cache_folder
from mobilevlm_export.files.hub import MODEL_ID, TIMEOUT_S, hub_failures, reason, reported_bytes
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.progress import Progress, megabytes, silent

BUNDLE_SUFFIX = ".mvlm.zip"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SPARE = 1 << 30  # bytes that stay free on the disk


def open_bundle(name: str | Path, progress: Progress = silent) -> Bundle:
    """Open bundle ``name``: an existing path, or a repository id such as owner/name, downloaded into the kit's cache (once).

    A download is unpacked and checked against its manifest before it is kept. Without a connection an earlier one is used.

    Raises:
        BundleError: as :meth:`Bundle.open`; the repository is missing, or has no bundle or more than one; the disk has no room; or the
            hub can't be reached and nothing was downloaded before.
    """
    path = Path(name)
    if path.exists() or not MODEL_ID.fullmatch(str(name)):
        return Bundle.open(path, progress)
    place = cache_folder("hub") / str(name).replace("/", "--")
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(str(name), files_metadata=True, timeout=TIMEOUT_S)
        return _downloaded(str(name), info, place, progress)
    except hub_failures() as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if earlier := sorted(place.glob("*/*.mvlm")):
            return Bundle.open(earlier[-1], progress)
        raise BundleError(f"{name}: couldn't be downloaded ({reason(error)}), and no folder has that name") from None


def _downloaded(name: str, info: Any, place: Path, progress: Progress) -> Bundle:
    from huggingface_hub import hf_hub_download

    found = [
        item for item in info.siblings or () if item.rfilename.endswith(BUNDLE_SUFFIX) and "/" not in item.rfilename
    ]
    if len(found) != 1:
        raise BundleError(f"{name}: got {len(found)} files NAME{BUNDLE_SUFFIX} on the hub, expected one bundle")
    if not _COMMIT.fullmatch(str(info.sha)):
        raise BundleError(f"{name}: got commit {info.sha!r:.60} from the hub, expected 40 hexadecimal digits")
    folder = place / info.sha / found[0].rfilename.removesuffix(".zip")
    if folder.is_dir():
        return Bundle.open(folder, progress)
    place.mkdir(parents=True, exist_ok=True)
    needed, room = 2 * int(found[0].size or 0) + _SPARE, shutil.disk_usage(place).free
    if room < needed:
        raise BundleError(f"{name}: got {megabytes(room)} free in {place}, expected {megabytes(needed)} to download it")
    with ScratchFolder(place, "download") as scratch:
        stage = f"downloading {name}"
        progress(stage, 0, 0)
        archive = hf_hub_download(
            name,
            found[0].rfilename,
            revision=info.sha,
            local_dir=scratch,
            tqdm_class=reported_bytes(progress, stage),
        )
        progress("unpacking the bundle", 0, 0)
        try:
            with atomic_folder(folder, error=BundleError) as unpacked:
                unzip(Path(archive), unpacked)
                manifest = Bundle.open(unpacked, progress).manifest
            bundle = Bundle(folder, manifest)
        except BundleError:
            if not folder.is_dir():
                raise
            bundle = Bundle.open(folder, progress)  # another process has just downloaded the same
    for older in place.iterdir():
        if older != folder.parent and older.is_dir() and not older.name.startswith("."):
            shutil.rmtree(older, ignore_errors=True)
    return bundle
