"""Where a checkpoint is: the built-in demo, a folder, or a model id that is downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.progress import Progress, silent

DEMO = "demo"
DEMO_CHECKPOINT = Path(__file__).parent / "demo" / "checkpoint"
DEMO_SAMPLES = Path(__file__).parent / "demo" / "samples"  # pictures, and samples.json with questions about them
_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SMALL_FILES = ("*.json", "tokenizer.model")


def resolve_checkpoint(
    name: str | Path, progress: Progress = silent, *, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """The folder of checkpoint ``name``: ``demo``, an existing folder, or a model id to download (once).

    ``endpoint`` and ``cache`` replace the hub's address and its cache folder.

    Raises:
        CheckpointError: there is no such folder and it can't be a model id, or the download failed.
    """
    if str(name) == DEMO and not Path(name).exists():
        return DEMO_CHECKPOINT
    if Path(name).exists() or not _MODEL_ID.fullmatch(str(name)):
        if not Path(name).is_dir():
            raise CheckpointError(
                f"{name}: no such folder, expected a checkpoint, a model id like mtgv/MobileVLM_V2-1.7B, or demo"
            )
        return Path(name)
    return _download(str(name), progress, endpoint, cache)


def _download(name: str, progress: Progress, endpoint: str | None, cache: Path | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        files = [item.rfilename for item in HfApi(endpoint=endpoint).model_info(name).siblings or ()]
        # One form of the weights is enough; the safe one if there is a choice.
        form = "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"
        progress(f"downloading {name}", 0, 0)
        found = snapshot_download(name, allow_patterns=[*_SMALL_FILES, form], endpoint=endpoint, cache_dir=cache)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{name}: couldn't be downloaded ({reason}), and there is no folder of that name"
        ) from None
    return Path(found)
