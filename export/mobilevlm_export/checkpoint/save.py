"""Write a model in the published layout, completely or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mobilevlm_export.checkpoint.key_map import never_run, published_names, published_shape
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.atomic_file import atomic_folder
from mobilevlm_export.model import MobileVLM


def save_checkpoint(
    model: MobileVLM,
    folder: Path,
    *,
    tokenizer_model: Path,
    form: str = "safetensors",
    dtype: torch.dtype = torch.float16,
    max_shard_bytes: int | None = None,
) -> None:
    """Write ``model`` to the new ``folder`` in the published layout, completely or not at all.

    ``form`` is ``safetensors`` or ``bin``; ``max_shard_bytes`` splits it into shards. The model doesn't contain the tower's
    layers that never run: they are written as zeros (norms as ones), so that other loaders find every key.

    Raises:
        CheckpointError: ``folder`` exists, or ``form`` is unknown.
    """
    if form not in ("safetensors", "bin"):
        raise CheckpointError(f"form: got {form!r}, expected safetensors or bin")
    with atomic_folder(folder, error=CheckpointError) as temporary:
        write_checkpoint(model, temporary, tokenizer_model, form, dtype, max_shard_bytes)


def write_checkpoint(
    model: MobileVLM,
    folder: Path,
    tokenizer_model: Path,
    form: str = "safetensors",
    dtype: torch.dtype = torch.float16,
    max_shard_bytes: int | None = None,
) -> None:
    """Like :func:`save_checkpoint`, but into an existing empty ``folder`` and not atomically."""
    state = model.state_dict()
    tensors = {
        key: state[name].detach().to(dtype).reshape(published_shape(key, state[name].shape)).contiguous()
        for key, name in published_names(model.config).items()
    }
    for key, shape in never_run(model.config).items():
        fill = torch.ones if "norm" in key and key.endswith("weight") else torch.zeros
        tensors[key] = fill(shape, dtype=dtype)
    _write_json(folder / "config.json", model.config.to_json() | {"torch_dtype": str(dtype).removeprefix("torch.")})
    _write_json(folder / "vision_config.json", model.config.vision_json())
    shutil.copyfile(tokenizer_model, folder / "tokenizer.model")
    if (companion := tokenizer_model.with_name("tokenizer_config.json")).is_file():
        shutil.copyfile(companion, folder / companion.name)
    _write_weights(tensors, folder, form, max_shard_bytes)


def _write_weights(tensors: Mapping[str, Tensor], folder: Path, form: str, max_shard_bytes: int | None) -> None:
    stem, suffix = ("model", ".safetensors") if form == "safetensors" else ("pytorch_model", ".bin")
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        if max_shard_bytes and shards[-1] and size + tensor.nbytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][key] = tensor
        size += tensor.nbytes
    places: dict[str, str] = {}
    for index, shard in enumerate(shards):
        name = f"{stem}-{index + 1:05}-of-{len(shards):05}{suffix}" if max_shard_bytes else stem + suffix
        if form == "safetensors":
            save_file(shard, folder / name, metadata={"format": "pt"})
        else:
            torch.save(shard, folder / name)
        places |= dict.fromkeys(shard, name)
    if max_shard_bytes:
        total = sum(tensor.nbytes for tensor in tensors.values())
        _write_json(folder / f"{stem}{suffix}.index.json", {"metadata": {"total_size": total}, "weight_map": places})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
