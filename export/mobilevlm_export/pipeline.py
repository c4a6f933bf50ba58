"""From checkpoint to bundle: load → quantize → lower → bundle."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import mobilevlm_export
from mobilevlm_export import __version__, prompt
from mobilevlm_export.bundle.manifest import RESAMPLE
from mobilevlm_export.bundle.memory import memory_need
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import new_bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.dependencies.coreai_private import require_coreai
from mobilevlm_export.errors import CheckpointError, LoweringError
from mobilevlm_export.files.code_hash import code_sha256
from mobilevlm_export.free_memory import collect
from mobilevlm_export.job import BACKENDS, ExportJob
from mobilevlm_export.lower.requirements import require_one_type, require_settings
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.calibration import CalibrationSet, read_folder, scenes
from mobilevlm_export.quantize.kept_rounding import KeptRounding, kept_rounding
from mobilevlm_export.quantize.linear_inputs import CalibratedInputs
from mobilevlm_export.quantize.report import QuantizeReport
from mobilevlm_export.tokenizer import Tokenizer, checkpoint_tokenizer, make_tokenizer_json

PROGRAM = "model.pte"


def export_bundle(job: ExportJob, progress: Progress = silent) -> Bundle:
    """Make the bundle ``job.output`` and open it.

    Raises:
        MobileVLMError: a step failed; nothing is left behind.
    """
    with exported(job, progress):
        pass
    return Bundle.open(job.output, progress=progress)


@contextmanager
def exported(job: ExportJob, progress: Progress = silent) -> Iterator[Bundle]:
    """The bundle of ``job`` before it is moved into place: the caller may ask it and add files. Errors as :func:`export_bundle`."""
    if "coreml" in job.backends and importlib.util.find_spec("coremltools") is None:
        raise LoweringError("backend: coreml needs Core ML Tools, which is not installed: pip install coremltools")
    if "coreai" in job.backends:
        require_coreai()
    with new_bundle(job.output, zipped=job.zipped, force=job.force, progress=progress) as new:
        checkpoint = resolve_checkpoint(job.checkpoint, progress)
        config = read_config(checkpoint, job.vision_tower)
        require_settings(config, job)
        tokenizer = _tokenizer(checkpoint, config)
        tokenizer.write_plain(new.folder / "tokenizer.model")
        make_tokenizer_json(new.folder / "tokenizer.model", new.folder / "tokenizer.json")
        source = {"name": config.name, "sha256": checkpoint_sha256(checkpoint, progress)}
        # Weights keep their stored type, mostly half precision, until each is quantized.
        model = load_checkpoint(checkpoint, vision_tower=job.vision_tower, dtype=None, progress=progress)
        if "coreml" in job.backends:
            require_one_type(model, job.recipe)
        calibration = _calibration(config, tokenizer, job, progress)
        with _kept(job, source["sha256"], calibration) as kept:
            quantized = quantize(model, job.recipe, progress, _inputs(model, calibration, progress), kept)
            artifacts = _lower(model, job, new.folder, source["sha256"], progress)
        del model  # running the bundle next needs as much memory
        collect()
        yield new.seal(_manifest(config, tokenizer, source, quantized, artifacts))


def _lower(
    model: MobileVLM, job: ExportJob, folder: Path, source_sha256: str, progress: Progress
) -> dict[str, dict[str, Any]]:
    """The artifact of each backend, in the order of ``BACKENDS``; ExecuTorch's is made last, because it takes the most memory."""
    lowered = {}
    if "coreml" in job.backends:
        lowered["coreml"] = _lower_coreml(model, job, folder, source_sha256, progress)
        collect()
    if "coreai" in job.backends:
        lowered["coreai"] = _lower_coreai(model, job, folder, source_sha256, progress)
        collect()
    if "executorch" in job.backends:
        lowered["executorch"] = _lower_executorch(model, job, folder / PROGRAM, progress)
    return {name: lowered[name] for name in BACKENDS if name in lowered}


def _calibration(
    config: MobileVLMConfig, tokenizer: Tokenizer, job: ExportJob, progress: Progress
) -> CalibrationSet | None:
    if "int4" not in job.recipe.linear_schemes or job.calibration == "none":
        return None
    if isinstance(job.calibration, Path):
        return read_folder(job.calibration, tokenizer, config, progress)
    return scenes(tokenizer, config, progress)


def _inputs(model: MobileVLM, calibration: CalibrationSet | None, progress: Progress) -> CalibratedInputs | None:
    return CalibratedInputs(model, calibration, progress) if calibration else None


def _kept(
    job: ExportJob, source_sha256: str, calibration: CalibrationSet | None
) -> AbstractContextManager[KeptRounding | None]:
    """What an export that was interrupted has calibrated: of the same weights, recipe, images and code."""
    if calibration is None:
        return nullcontext()
    tower = checkpoint_sha256(job.vision_tower) if job.vision_tower else ""
    code = code_sha256(((mobilevlm_export, "model"), (mobilevlm_export, "quantize")))
    return kept_rounding(source_sha256, tower, str(job.recipe.to_json()), calibration.sha256, code)


def _lower_executorch(model: MobileVLM, job: ExportJob, path: Path, progress: Progress) -> dict[str, Any]:
    from mobilevlm_export.lower.executorch import lower_executorch  # takes seconds to import

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


def _lower_coreai(
    model: MobileVLM, job: ExportJob, folder: Path, source_sha256: str, progress: Progress
) -> dict[str, Any]:
    from mobilevlm_export.lower.coreai import lower_coreai

    info = lower_coreai(
        model, job.recipe, folder, max_context=job.max_context, source_sha256=source_sha256, progress=progress
    )
    value_bytes = 4 if "fp32" in info.types.values() else 2
    cache_bytes = 2 if info.types["text_decoder"] == "fp16" else 4
    memory = memory_need(
        model.config,
        info.bytes,
        info.cache_positions,
        info.max_context,
        cache_bytes=cache_bytes,
        value_bytes=value_bytes,
    )
    return info.to_json() | {"memory": memory}


def _tokenizer(folder: Path, config: MobileVLMConfig) -> Tokenizer:
    tokenizer = checkpoint_tokenizer(folder)
    if tokenizer.vocab_size > config.llm.vocab_size:
        raise CheckpointError(
            f"{tokenizer.path}: got {tokenizer.vocab_size} pieces, expected at most the model's {config.llm.vocab_size}"
        )
    if (got := tokenizer.piece(tokenizer.eos_id)) != prompt.STOP_TEXT:
        raise CheckpointError(f"{tokenizer.path}: got {got!r} as end of text, expected {prompt.STOP_TEXT!r}")
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
        # Limits that hold for every artifact; each also has its own.
        "context": {key: min(made[key] for made in artifacts.values()) for key in ("max_context", "max_prefill")},
        "memory": max((made["memory"] for made in artifacts.values()), key=lambda memory: memory["bytes"]),
    }
