"""Find a bundle: a folder, a zip, or a repository of the hub to download it from."""

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


def resolve_bundle(name: str | Path, progress: Progress = silent, *, endpoint: str | None = None) -> Path:
    """The path of bundle ``name``: an existing path, or a repository id such as owner/name, downloaded into the kit's cache (once).

    A download is unpacked and checked against its manifest. Without a connection an earlier one is used. ``endpoint`` replaces the
    hub's address.

    Raises:
        BundleError: the repository is missing, has no bundle or more than one, or its bundle is damaged; the disk has no room; or the
            hub can't be reached and nothing was downloaded before.
    """
    path = Path(name)
    if path.exists() or not MODEL_ID.fullmatch(str(name)):
        return path
    place = cache_folder("hub") / str(name).replace("/", "--")
    from huggingface_hub import HfApi

    try:
        hub = HfApi(endpoint=endpoint)
        info = hub.model_info(str(name), files_metadata=True, timeout=TIMEOUT_S)
        return _downloaded(str(name), info, place, progress, hub.endpoint)
    except hub_failures() as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if earlier := sorted(place.glob("*/*.mvlm")):
            return earlier[-1]
        raise BundleError(f"{name}: couldn't be downloaded ({reason(error)}), and no folder has that name") from None


def _downloaded(name: str, info: Any, place: Path, progress: Progress, endpoint: str) -> Path:
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
        return folder
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
            endpoint=endpoint,
            tqdm_class=reported_bytes(progress, stage),
        )
        progress("unpacking the bundle", 0, 0)
        try:
            with atomic_folder(folder, error=BundleError) as unpacked:
                unzip(Path(archive), unpacked)
                Bundle.open(unpacked, progress=progress)
        except BundleError:
            if not folder.is_dir():  # else another process has just downloaded the same
                raise
    for older in place.iterdir():
        if older != folder.parent and older.is_dir() and not older.name.startswith("."):
            shutil.rmtree(older, ignore_errors=True)
    return folder
