"""Find a checkpoint: the built-in demo, a folder, or a model id to download."""

from __future__ import annotations

from pathlib import Path

from mobilevlm_export.checkpoint.weight_files import INDEX, WEIGHT_FILES, chosen_weights, shards
from mobilevlm_export.demo.built_in import DEMO, DEMO_CHECKPOINT
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.hub import MODEL_ID, TIMEOUT_S, hub_bars_hidden, hub_failures, reason, reported_bytes
from mobilevlm_export.progress import Progress, silent


def resolve_checkpoint(
    name: str | Path, progress: Progress = silent, *, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """The folder of checkpoint ``name``: ``demo``, an existing folder, or a model id to download (once).

    Without a connection, or with ``HF_HUB_OFFLINE=1``, an earlier download is used. ``endpoint`` and ``cache`` replace the hub's
    address and its cache folder.

    Raises:
        CheckpointError: the name is neither a folder nor a model id, the hub doesn't have the model or its weights, or the hub can't
            be reached and the model isn't complete in the cache.
    """
    if str(name) == DEMO and not Path(name).exists():
        return DEMO_CHECKPOINT
    if Path(name).exists() or not MODEL_ID.fullmatch(str(name)):
        if not Path(name).is_dir():
            raise CheckpointError(
                f"{name}: no such folder, expected a checkpoint, a model id like mtgv/MobileVLM_V2-1.7B, or demo"
            )
        return Path(name)
    return _download(str(name), progress, endpoint, cache)


def _download(name: str, progress: Progress, endpoint: str | None, cache: Path | None) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        info = HfApi(endpoint=endpoint).model_info(name, timeout=TIMEOUT_S)
        names = {item.rfilename for item in info.siblings or ()}
        weights = chosen_weights(names)
        if weights is None:
            raise CheckpointError(f"{name}: got no weights on the hub, expected one of {', '.join(WEIGHT_FILES)}")
        progress(f"downloading {name}", 0, 0)
        settings = [file for file in names if "/" not in file and file.endswith((".json", ".jinja"))]
        wanted = [*settings, *names & {"tokenizer.model"}]
        wanted.append(weights)
        if weights.endswith(INDEX):
            with hub_bars_hidden():
                wanted += shards(Path(hf_hub_download(name, weights, endpoint=endpoint, cache_dir=cache)))
        bars = reported_bytes(progress, f"downloading {name}")
        found = snapshot_download(name, allow_patterns=wanted, endpoint=endpoint, cache_dir=cache, tqdm_class=bars)
        return Path(found)
    except hub_failures() as error:
        if isinstance(error, (RepositoryNotFoundError, GatedRepoError)):
            raise CheckpointError(
                f"{name}: refused by the hub ({reason(error)}), and no folder has that name"
            ) from None
        if folder := _cached(name, cache):
            return folder
        raise CheckpointError(
            f"{name}: couldn't be downloaded ({reason(error)}), isn't complete in the hub's cache, and no folder has that name"
        ) from None


def _cached(name: str, cache: Path | None) -> Path | None:
    """An earlier download of ``name``, if complete."""
    from huggingface_hub import try_to_load_from_cache

    def found(file: str) -> Path | None:
        path = try_to_load_from_cache(name, file, cache_dir=cache)
        return Path(path) if isinstance(path, str) else None

    weights = next((path for path in map(found, WEIGHT_FILES) if path), None)
    if weights is None or not found("config.json") or not found("tokenizer.model"):
        return None
    needed = shards(weights) if weights.name.endswith(INDEX) else []
    return weights.parent if all(map(found, needed)) else None
