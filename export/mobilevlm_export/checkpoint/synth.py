"""Random-weight checkpoints of full size in the published layout, for tests and measurements without the real weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from itertools import product
from pathlib import Path
from string import ascii_lowercase, punctuation

import torch
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2 as pb
from torch import Tensor

from mobilevlm_export.checkpoint.key_map import is_norm, never_run, published_names, published_shape
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.outlier_places import EQUIVALENT
from mobilevlm_export.checkpoint.outliers import add_outliers, require_outliers
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.config import MobileVLMConfig, preset
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.atomic_file import atomic_folder, new_only, require_place
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent

_SHARD_BYTES = 400_000_000
_SPACE = "\u2581"


def synth_checkpoint(
    size: str | MobileVLMConfig,
    output: Path,
    *,
    seed: int = 0,
    outliers: float | None = None,
    places: Collection[str] = EQUIVALENT,
    progress: Progress = silent,
) -> None:
    """Write a checkpoint of ``size`` (a preset's name, or a configuration) to the new folder ``output``: float16, in shards.

    Values are random, scaled so that activations keep their magnitude through the layers. Only one shard is in memory at a time.
    ``outliers`` is the strength of outliers like those of trained models, in ``places``
    (:mod:`mobilevlm_export.checkpoint.outliers`); with them, all weights are in memory at once, in float16.

    Raises:
        CheckpointError: ``output`` exists, the disk has too little free space, or the outliers have a wrong strength or place.
    """
    config = preset(size) if isinstance(size, str) else size
    if outliers is not None:
        _synth_with_outliers(config, output, seed, outliers, places, progress)
        return
    with atomic_folder(output, error=CheckpointError) as temporary:
        shapes = _shapes(config)
        need = sum(2 * torch.Size(shape).numel() for shape in shapes.values())
        free = shutil.disk_usage(temporary).free
        if free < need:
            raise CheckpointError(f"{output}: got {free / 1e9:.1f} GB of free disk space, expected {need / 1e9:.1f} GB")
        _write_shards(shapes, temporary, seed, progress)
        for name, value in (("config.json", config.to_json()), ("vision_config.json", config.vision_json())):
            (temporary / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (temporary / "tokenizer.model").write_bytes(synth_tokenizer(config.llm.vocab_size).SerializeToString())


def _synth_with_outliers(
    config: MobileVLMConfig, output: Path, seed: int, strength: float, places: Collection[str], progress: Progress
) -> None:
    require_outliers(strength, places)
    require_place(output, error=CheckpointError, replaceable=new_only("folder", CheckpointError))
    with ScratchFolder(output.parent, f"{output.name}.plain") as scratch:
        plain = scratch / "plain"
        synth_checkpoint(config, plain, seed=seed, progress=progress)
        model = load_checkpoint(plain, dtype=None, progress=progress)
        add_outliers(model, strength, places, seed)
        save_checkpoint(model, output, tokenizer_model=plain / "tokenizer.model", max_shard_bytes=_SHARD_BYTES)


def _shapes(config: MobileVLMConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = MobileVLM(config).state_dict()
    names = published_names(config)
    return {key: published_shape(key, state[name].shape) for key, name in names.items()} | never_run(config)


def _write_shards(shapes: dict[str, tuple[int, ...]], folder: Path, seed: int, progress: Progress) -> None:
    generator = torch.Generator().manual_seed(seed)
    shards = list(_shards(shapes))
    places: dict[str, str] = {}
    done = 0
    for index, keys in enumerate(shards):
        name = f"model-{index + 1:05}-of-{len(shards):05}.safetensors"
        tensors = {}
        for key in keys:
            tensors[key] = _values(key, shapes[key], generator).half()
            done += 1
            progress("writing random weights", done, len(shapes))
        save_file(tensors, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(keys, name)
    index_file = {
        "metadata": {"total_size": sum(2 * torch.Size(s).numel() for s in shapes.values())},
        "weight_map": places,
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index_file, indent=2) + "\n", encoding="utf-8")


def _shards(shapes: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    shard: list[str] = []
    size = 0
    for key, shape in shapes.items():
        nbytes = 2 * torch.Size(shape).numel()
        if shard and size + nbytes > _SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(key)
        size += nbytes
    yield shard


def _values(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    if is_norm(key):
        return noise * 0.02 + (1 if key.endswith("weight") else 0)
    if len(shape) < 2 or "embed" in key:
        return noise * 0.02
    fan_in = torch.Size(shape[1:]).numel()
    return noise * (0.5 / fan_in**0.5)


def synth_tokenizer(vocab_size: int) -> pb.ModelProto:
    """A LLaMA-like SentencePiece model with ``vocab_size`` artificial pieces; each is a shorter piece plus a letter."""
    model = pb.ModelProto()
    kinds = pb.ModelProto.SentencePiece
    for piece, kind in (("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=kinds.BYTE)
    for rank, piece in zip(range(vocab_size - len(model.pieces)), _pieces(), strict=False):
        model.pieces.add(piece=piece, score=-float(rank), type=kinds.NORMAL)
    model.trainer_spec.model_type = pb.TrainerSpec.BPE
    model.trainer_spec.vocab_size = vocab_size
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    return model


def _pieces() -> Iterator[str]:
    letters = ascii_lowercase
    yield from (_SPACE, *letters, *letters.upper(), *"0123456789", *punctuation)
    # Longer pieces are rarer, as in a trained vocabulary; every prefix of a piece is a piece.
    for length in range(1, 5):
        for ends in product(letters, repeat=length):
            yield _SPACE + "".join(ends)
        if length > 1:
            for ends in product(letters, repeat=length):
                yield "".join(ends)
