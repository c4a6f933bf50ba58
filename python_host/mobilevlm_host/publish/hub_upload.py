"""Put a bundle into a repository of the Hugging Face hub: its zip, its manifest, and its model card."""

from __future__ import annotations

import glob
import shutil
from pathlib import Path

from mobilevlm_export.bundle.archive import zip_files
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.open_bundle import BUNDLE_SUFFIX
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.hub import hub_bars_hidden, hub_failures, reason
from mobilevlm_export.progress import Progress, megabytes, silent

CARD = "README.md"


def fill_repository(bundle: Bundle, card: str, folder: Path, progress: Progress = silent) -> Path:
    """Write what the repository of ``bundle`` will contain into the empty ``folder``; the path of the zip in it. The zip has what the
    manifest lists, and nothing else that lies in the bundle's folder.
    """
    (folder / CARD).write_text(card, encoding="utf-8")
    shutil.copyfile(bundle.path / MANIFEST, folder / MANIFEST)
    archive = folder / f"{bundle.source.resolve().name.removesuffix('.zip').removesuffix('.mvlm')}{BUNDLE_SUFFIX}"
    files = [bundle.path / name for name in (MANIFEST, *(entry.path for entry in bundle.manifest.files))]
    zip_files(bundle.path, files, archive, f"writing {archive.name}", progress)
    return archive


def upload(folder: Path, repository: str, *, private: bool, progress: Progress = silent) -> str:
    """Upload ``folder`` to ``repository`` on the hub, which is made if missing; the address of the commit. Older bundles in it are
    deleted: a repository has one, and the hub keeps its history.

    Raises:
        OutputError: the hub can't be reached, refuses the token, or refuses the files.
    """
    from huggingface_hub import HfApi

    failures: tuple[type[Exception], ...] = (*hub_failures(), RuntimeError)  # the last: one file of several failed
    size = sum(file.stat().st_size for file in folder.iterdir())
    progress(f"uploading {megabytes(size)}", 0, 0)
    try:
        with hub_bars_hidden():
            api = HfApi()
            made = api.create_repo(repository, private=private, exist_ok=True)
            names = api.list_repo_files(made.repo_id)
            done = api.upload_folder(
                folder_path=folder,
                repo_id=made.repo_id,
                commit_message="Add a MobileVLM Kit bundle",
                delete_patterns=[
                    glob.escape(name) for name in names if name.endswith(BUNDLE_SUFFIX) and "/" not in name
                ],
            )
    except failures as error:
        raise OutputError(f"{repository}: the hub took nothing ({reason(error)}); log in with: hf auth login") from None
    return str(done.commit_url)
