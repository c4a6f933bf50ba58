"""Load a checkpoint in the published layout: every parameter is filled, and every key accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from mobilevlm_export.checkpoint.key_map import TOWER, is_ignored, never_run, published_names, published_shape
from mobilevlm_export.checkpoint.weight_files import Weights, open_weights
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Bytes, Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.tokenizer import checkpoint_tokenizer

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_NAMED = 6  # the most names that an error lists
# Files that affect answers, besides the weights.
_SMALL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vision_config.json",
)
_LM_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def load_checkpoint(
    path: str | Path,
    *,
    vision_tower: Path | None = None,
    dtype: torch.dtype | None = torch.float32,
    progress: Progress = silent,
) -> MobileVLM:
    """The model in ``path``, a folder in the published layout, in eval mode and ``dtype`` (None: each weight keeps its own).

    ``vision_tower`` is a CLIP folder, for a checkpoint without the tower's weights. Weights are mapped and converted one by one into
    a model without memory of its own, so the peak is one model plus one tensor.

    Raises:
        CheckpointError: weights are missing, unexpected, of another shape, not finite numbers, damaged, or a pickle with code.
        ConfigError: ``config.json`` is malformed or of a model that the kit doesn't support.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder, expected a checkpoint in the published layout")
    config = read_config(folder, vision_tower)
    weights = open_weights(folder)
    sources = _sources(config, weights, folder, vision_tower)
    for source in dict.fromkeys(source for source, _ in sources.values()):
        source.verify(progress)
    with torch.device("meta"):
        model = MobileVLM(config)
    expected = model.state_dict()
    names = published_names(config)
    filled: dict[str, Tensor] = {}
    for index, (key, name) in enumerate(names.items()):
        source, spelled = sources[key]
        tensor = source.read(spelled)
        shape = published_shape(key, expected[name].shape)
        if tensor.shape != shape:
            raise CheckpointError(
                f"{folder}: {key}: got shape {list(tensor.shape)}, expected {list(shape)} as in config.json"
            )
        if tensor.dtype not in _DTYPES or not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{folder}: {key}: got values that are not finite numbers of 16 bits or more ({tensor.dtype})"
            )
        filled[name] = tensor.to(dtype or tensor.dtype, copy=True).reshape(expected[name].shape)
        progress("loading weights", index + 1, len(names))
    if config.tie_word_embeddings and not torch.equal(filled[names[_LM_HEAD]], filled[names[_EMBEDDING]]):
        raise CheckpointError(
            f"{folder}: {_LM_HEAD}: got values different from {_EMBEDDING}, expected the same (tie_word_embeddings in config.json)"
        )
    model.load_state_dict(filled, assign=True)
    if (folder / "tokenizer.model").is_file():
        model.tokenizer = checkpoint_tokenizer(folder)
    return model.eval().requires_grad_(False)


def _sources(
    config: MobileVLMConfig, weights: Weights, folder: Path, vision_tower: Path | None
) -> dict[str, tuple[Weights, str]]:
    """The weights and the key there that each published key is read from; missing and unexpected keys are errors."""
    tower = open_weights(vision_tower) if vision_tower else None
    sources: dict[str, tuple[Weights, str]] = {}
    missing = []
    for key in published_names(config):
        source, spelled = tower if tower is not None and key.startswith(TOWER) else weights, key
        if key == _LM_HEAD and key not in weights and config.tie_word_embeddings:
            spelled = _EMBEDDING
        sources[key] = (source, spelled)
        if spelled not in source:
            missing.append(key)
    if tower is None and missing and not any(key.startswith(TOWER) for key in weights):
        raise CheckpointError(
            f"{folder}: got no weights of the vision tower; config.json names {config.vision_tower!r}: "
            "give its folder with --vision-tower"
        )
    if missing:
        where = vision_tower if all(key.startswith(TOWER) for key in missing) and vision_tower else folder
        raise CheckpointError(f"{where}: missing {_join_names(missing)}")
    known = {*sources, *never_run(config)}
    left_over = [key for key in weights if key not in known and not is_ignored(key)]
    if left_over:
        shapes = [f"{key} {list(weights.read(key).shape)}" for key in left_over[:_NAMED]]
        raise CheckpointError(
            f"{folder}: got keys that the model in config.json doesn't have: {_join_names(shapes, len(left_over))}"
        )
    return sources


def _join_names(names: Iterable[str], count: int | None = None) -> str:
    shown = list(names)
    count = count or len(shown)
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more


def checkpoint_sha256(folder: Path, progress: Progress = silent) -> str:
    """One hash of the configuration, tokenizer and weights in ``folder``, by which bundles identify their source."""
    files = {
        *open_weights(folder).files,
        *(folder / name for name in _SMALL_FILES),
    }
    present = sorted(file for file in files if file.is_file())
    whole = hashlib.sha256()
    total, done = Bytes(sum(file.stat().st_size for file in present)), 0

    def hashed(count: int) -> None:
        nonlocal done
        done += count
        progress("hashing the checkpoint", Bytes(done), total)

    hashed(0)
    for file in present:
        whole.update(f"{file.name} {file_sha256(file, hashed)}\n".encode())
    return whole.hexdigest()
