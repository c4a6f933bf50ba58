"""From checkpoint to bundle: load → quantize → lower → bundle."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilevlm_export import __version__, prompt
from mobilevlm_export.bundle.manifest import RESAMPLE
from mobilevlm_export.bundle.memory import memory_need
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import require_bundle_place, write_bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import CheckpointError, LoweringError
from mobilevlm_export.free_memory import collect
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.quantize.apply import QuantizeReport, quantize
from mobilevlm_export.quantize.calibration import DecoderInputs, read_folder, scenes
from mobilevlm_export.quantize.recipe import CALIBRATED, RECIPES, Recipe
from mobilevlm_export.tokenizer import Tokenizer, checkpoint_tokenizer, make_tokenizer_json

PROGRAM = "model.pte"
BACKENDS = ("executorch", "coreml")


@dataclass(frozen=True)
class ExportJob:
    """What to export, how, and where to; checked once, never changed."""

    checkpoint: str | Path
    output: Path
    recipe: Recipe = field(default_factory=lambda: RECIPES["int4"])
    backends: tuple[str, ...] = ("executorch",)
    calibration: Path | None = None  # a folder of pictures
    max_context: int | None = None
    coreml_cache_update: str = "slice"
    vision_tower: Path | None = None
    zipped: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.backends if name not in BACKENDS]
        if unknown or not self.backends:
            got = repr(unknown[0]) if unknown else "none"
            raise LoweringError(f"backend: got {got}, expected {' or '.join(BACKENDS)}")


def export_bundle(
    job: ExportJob, progress: Progress = silent, complete: Callable[[Bundle], None] | None = None
) -> Bundle:
    """Make the bundle ``job.output`` and open it; ``complete`` may add files to it before it is put in place.

    Raises:
        MobileVLMError: one of its kinds says which step failed and why; nothing is left behind.
    """
    begin = time.monotonic()
    if "coreml" in job.backends and importlib.util.find_spec("coremltools") is None:
        raise LoweringError("backend: coreml needs Core ML Tools, which isn't installed here: pip install coremltools")
    require_bundle_place(job.output, zipped=job.zipped, force=job.force)  # before a download, not after it
    folder = resolve_checkpoint(job.checkpoint, progress)
    config = read_config(folder, job.vision_tower)
    tokenizer = _tokenizer(folder, config)

    def fill(beside: Path) -> dict[str, Any]:
        tokenizer.write_plain(beside / "tokenizer.model")
        make_tokenizer_json(beside / "tokenizer.model", beside / "tokenizer.json")
        source = {"name": config.name, "sha256": checkpoint_sha256(folder, progress)}
        # Weights stay as they are stored, mostly half precision, until each is quantized.
        model = load_checkpoint(folder, vision_tower=job.vision_tower, dtype=None, progress=progress)
        quantized = quantize(model, job.recipe, progress, _calibration(model, tokenizer, job, progress))
        lowered = {}
        if "coreml" in job.backends:
            lowered["coreml"] = _lower_coreml(model, job, beside, source["sha256"], progress)
            collect()
        if "executorch" in job.backends:
            lowered["executorch"] = _lower_executorch(model, job, beside / PROGRAM, progress)
        del model  # what answers from the bundle next needs as much
        collect()
        artifacts = {name: lowered[name] for name in BACKENDS if name in lowered}
        return _manifest(config, tokenizer, source, quantized, artifacts) | {
            "export_s": round(time.monotonic() - begin, 1)
        }

    write_bundle(job.output, fill, complete=complete, zipped=job.zipped, force=job.force, progress=progress)
    return Bundle.open(job.output, progress=progress)


def _calibration(model: MobileVLM, tokenizer: Tokenizer, job: ExportJob, progress: Progress) -> DecoderInputs | None:
    if CALIBRATED not in job.recipe.decoder_schemes:
        return None
    if job.calibration is None:
        return DecoderInputs(model, scenes(tokenizer, model.config), progress)
    return DecoderInputs(model, read_folder(job.calibration, tokenizer, model.config), progress)


def _lower_executorch(model: MobileVLM, job: ExportJob, path: Path, progress: Progress) -> dict[str, Any]:
    from mobilevlm_export.lower.executorch import lower_executorch  # seconds to import, so only when it is asked for

    info = lower_executorch(model, job.recipe, path, max_context=job.max_context, progress=progress)
    memory = memory_need(model.config, info.bytes, info.max_context, info.max_prefill)
    return info.to_json() | {"file": path.name, "memory": memory}


def _lower_coreml(
    model: MobileVLM, job: ExportJob, folder: Path, source_sha256: str, progress: Progress
) -> dict[str, Any]:
    from mobilevlm_export.lower.coreml import lower_coreml

    info = lower_coreml(
        model,
        job.recipe,
        folder,
        max_context=job.max_context,
        cache_update=job.coreml_cache_update,
        source_sha256=source_sha256,
        progress=progress,
    )
    value_bytes = 4 if "fp32" in info.types.values() else 2
    memory = memory_need(
        model.config, info.bytes, info.cache_positions, info.prefill_chunk, cache_bytes=2, value_bytes=value_bytes
    )
    return info.to_json() | {"memory": memory}


def _tokenizer(folder: Path, config: MobileVLMConfig) -> Tokenizer:
    tokenizer = checkpoint_tokenizer(folder)
    if tokenizer.vocab_size > config.llm.vocab_size:
        raise CheckpointError(
            f"{tokenizer.path}: got {tokenizer.vocab_size} pieces, expected at most the model's {config.llm.vocab_size}"
        )
    if (got := tokenizer.piece(tokenizer.eos_id)) != prompt.STOP_TEXT:
        raise CheckpointError(f"{tokenizer.path}: got {got!r} as the end of a text, expected {prompt.STOP_TEXT!r}")
    ids = (tokenizer.bos_id, tokenizer.eos_id)
    if ids != (config.bos_id, config.eos_id):
        raise CheckpointError(f"{tokenizer.path}: got BOS and EOS {ids}, expected {(config.bos_id, config.eos_id)}")
    return tokenizer


def _manifest(
    config: MobileVLMConfig,
    tokenizer: Tokenizer,
    source: dict[str, str],
    quantized: QuantizeReport,
    artifacts: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    template = prompt.V1.spelled_for(tokenizer)
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
            "resample": RESAMPLE,
        },
        "prompt": {
            "template": prompt.TEMPLATE,
            "system": prompt.SYSTEM,
            "roles": [prompt.USER, prompt.ASSISTANT],
            "before_image": template.before_image,
            "after_image": template.after_image,
            "follow_up": template.follow_up,
            "bos_id": config.bos_id,
            "stop_ids": [config.eos_id],
            "stop_text": prompt.STOP_TEXT,
        },
        "tokenizer": {"model": "tokenizer.model", "json": "tokenizer.json"},
        "quantization": quantized.to_json(),
        "artifacts": artifacts,
        # What holds for every artifact; each says its own too.
        "context": {key: min(made[key] for made in artifacts.values()) for key in ("max_context", "max_prefill")},
        "memory": max((made["memory"] for made in artifacts.values()), key=lambda memory: memory["bytes"]),
    }
