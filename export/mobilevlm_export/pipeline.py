"""From checkpoint to bundle: load → quantize → lower → bundle."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilevlm_export import __version__, prompt
from mobilevlm_export.bundle import Bundle, write_bundle, zip_bundle
from mobilevlm_export.checkpoint import checkpoint_sha256, load_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.hub import resolve_checkpoint
from mobilevlm_export.lower.executorch import ArtifactInfo, lower_executorch
from mobilevlm_export.memory import memory_need
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize import RECIPES, QuantizeReport, Recipe, quantize
from mobilevlm_export.tokenizer import Tokenizer, make_tokenizer_json

PROGRAM = "model.pte"


@dataclass(frozen=True)
class ExportJob:
    """What to export, how, and where to; checked once, never changed."""

    checkpoint: str | Path
    output: Path
    recipe: Recipe = field(default_factory=lambda: RECIPES["int4"])
    max_context: int | None = None
    vision_tower: Path | None = None
    zipped: bool = False
    force: bool = False


def export_bundle(
    job: ExportJob, progress: Progress = silent, complete: Callable[[Bundle], None] | None = None
) -> Bundle:
    """Make the bundle ``job.output`` and open it; ``complete`` may add files to it before it is put in place.

    Raises:
        MobileVLMError: one of its kinds says which step failed and why; nothing is left behind.
    """
    begin = time.monotonic()
    folder = resolve_checkpoint(job.checkpoint, progress)
    config = MobileVLMConfig.from_checkpoint(folder, job.vision_tower)
    tokenizer = _tokenizer(folder, config)

    def fill(beside: Path) -> dict[str, Any]:
        shutil.copyfile(tokenizer.path, beside / "tokenizer.model")
        make_tokenizer_json(tokenizer.path, beside / "tokenizer.json")
        source = {"name": config.name, "sha256": checkpoint_sha256(folder, progress)}
        # Weights stay as they are stored, mostly half precision, until each is quantized.
        model = load_checkpoint(folder, vision_tower=job.vision_tower, dtype=None, progress=progress)
        quantized = quantize(model, job.recipe, progress)
        artifact = lower_executorch(model, job.recipe, beside / PROGRAM, max_context=job.max_context, progress=progress)
        return _manifest(config, source, quantized, artifact) | {"export_s": round(time.monotonic() - begin, 1)}

    write_bundle(job.output, fill, complete=complete, force=job.force)
    if job.zipped:
        zip_bundle(job.output, job.output.with_name(job.output.name + ".zip"))
    return Bundle.open(job.output, progress=progress)


def _tokenizer(folder: Path, config: MobileVLMConfig) -> Tokenizer:
    tokenizer = Tokenizer(folder / "tokenizer.model")
    if tokenizer.vocab_size > config.llm.vocab_size:
        raise CheckpointError(
            f"{tokenizer.path}: got {tokenizer.vocab_size} pieces, expected at most the model's {config.llm.vocab_size}"
        )
    ids = (tokenizer.bos_id, tokenizer.eos_id)
    if ids != (config.bos_id, config.eos_id):
        raise CheckpointError(f"{tokenizer.path}: got BOS and EOS {ids}, expected {(config.bos_id, config.eos_id)}")
    return tokenizer


def _manifest(
    config: MobileVLMConfig, source: dict[str, str], quantized: QuantizeReport, artifact: ArtifactInfo
) -> dict[str, Any]:
    return {
        "kit_version": __version__,
        "source": source,
        "model": config.to_json(),
        "image": {
            "size": config.vision.image_size,
            "tokens": config.image_tokens,
            "mean": list(config.vision.image_mean),
            "std": list(config.vision.image_std),
            "pad_color": list(config.pad_color),
            "resample": "pillow-bicubic-8bit",
        },
        "prompt": {
            "template": prompt.TEMPLATE,
            "system": prompt.SYSTEM,
            "roles": [prompt.USER, prompt.ASSISTANT],
            "before_image": prompt.prefix(),
            "after_image": prompt.after_image("{question}"),
            "follow_up": prompt.follow_up("{question}"),
            "bos_id": config.bos_id,
            "stop_ids": [config.eos_id],
            "stop_text": prompt.STOP_TEXT,
        },
        "tokenizer": {"model": "tokenizer.model", "json": "tokenizer.json"},
        "quantization": quantized.to_json(),
        "artifacts": {"executorch": artifact.to_json() | {"file": PROGRAM}},
        "context": {"max_context": artifact.max_context, "max_prefill": artifact.max_prefill},
        "memory": memory_need(config, artifact.bytes, artifact.max_context, artifact.max_prefill),
    }
