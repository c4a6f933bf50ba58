"""Lower a model to Core AI programs, for iOS 27 (experimental): export, convert, write, read back, check.

``vision_encoder.aimodel``, ``text_decoder.aimodel`` and ``token_embedding.safetensors`` contain exactly the integers and scales of the
quantized model, as the programs of the other backends do. No device has run them.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobilevlm_export import __version__
from mobilevlm_export.dependencies.coreai_private import (
    SHIFT_SCALE,
    VERSIONS,
    number_arrays,
    numbered_functions,
    require_coreai,
)
from mobilevlm_export.dependencies.torchao_private import integers, is_int4, is_quantized
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.free_memory import collect, trim
from mobilevlm_export.lower.artifact_files import removed_on_failure, total_bytes
from mobilevlm_export.lower.coreai_modules import CoreAITextDecoder, CoreAIVisionEncoder
from mobilevlm_export.lower.coreai_twin import PROGRAM_FILE, read_listing
from mobilevlm_export.lower.requirements import (
    COREAI_POSITIONS_BELOW,
    coreai_positions,
    require_context,
    require_recipe,
    size_limit,
)
from mobilevlm_export.lower.token_table import write_token_table
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import Recipe

VISION_ENCODER, TEXT_DECODER = "vision_encoder.aimodel", "text_decoder.aimodel"
TOKEN_EMBEDDING = "token_embedding.safetensors"
_ARTIFACTS = (VISION_ENCODER, TEXT_DECODER, TOKEN_EMBEDDING)
_STAGE, _STEPS = "Core AI", 4
_DATE = "19700101T000000Z"  # of every asset


@dataclass(frozen=True)
class CoreAIInfo:
    """The written artifacts: their size and how they were made. Lengths are in tokens."""

    bytes: int
    recipe: Recipe
    max_context: int
    cache_positions: int
    kv_cache_bytes: int
    embedding_form: str
    types: Mapping[str, str]
    programs: Mapping[str, Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest; paths are relative to the bundle."""
        return {
            "file": f"{TEXT_DECODER}/{PROGRAM_FILE}",
            "experimental": True,
            "bytes": self.bytes,
            "recipe": self.recipe.to_json(),
            "vision_encoder": {
                "file": f"{VISION_ENCODER}/{PROGRAM_FILE}",
                "asset": VISION_ENCODER,
                **self.programs["vision_encoder"],
            },
            "text_decoder": {
                "file": f"{TEXT_DECODER}/{PROGRAM_FILE}",
                "asset": TEXT_DECODER,
                **self.programs["text_decoder"],
            },
            "token_embedding": {"file": TOKEN_EMBEDDING, "form": self.embedding_form},
            "types": dict(self.types),
            "max_context": self.max_context,
            "max_prefill": self.max_context,
            "cache_positions": self.cache_positions,
            "kv_cache_bytes": self.kv_cache_bytes,
            "verified_on_device": False,
            "versions": {**VERSIONS, "torch": torch.__version__.split("+")[0]},
        }


def lower_coreai(
    model: MobileVLM,
    recipe: Recipe,
    folder: Path,
    *,
    max_context: int | None = None,
    source_sha256: str = "",
    progress: Progress = silent,
) -> CoreAIInfo:
    """Write ``model``, quantized with ``recipe``, into ``folder``; ``source_sha256`` is the checkpoint's hash, for the metadata.

    A program computes in float16, or in float32 if a part of it is fp32. The model is not changed.

    Raises:
        DependencyError: Core AI's packages aren't those that the kit was made with.
        LoweringError: a length is out of range, a part isn't quantized as in the recipe, a program can't be converted or isn't as
            expected, or a file can't be written.
    """
    require_coreai()
    SHIFT_SCALE.load()
    context = require_context(model.config, max_context)
    positions = coreai_positions(context)
    require_recipe(model, recipe)
    halves = {
        "vision_encoder": "fp32" not in (recipe.vision, recipe.projector),
        "text_decoder": "fp32" not in (recipe.llm, recipe.lm_head),
    }
    dtypes = {part: torch.float16 if is_half else torch.float32 for part, is_half in halves.items()}
    describe = _AssetMetadata(model, recipe, source_sha256)
    llm, side = model.config.llm, model.config.vision.image_size
    with removed_on_failure(folder, _ARTIFACTS):
        progress(_STAGE, 0, _STEPS)
        encoder = CoreAIVisionEncoder(model.vision_encoder, dtypes["vision_encoder"])
        _write(
            encoder,
            {"pixels": torch.zeros(1, 3, side, side, dtype=torch.uint8)},
            ("image_embeddings", "features"),
            folder / VISION_ENCODER,
            describe("vision encoder: CLIP's tower and the projector, normalization included"),
        )
        progress(_STAGE, 1, _STEPS)
        programs = {"vision_encoder": _checked(folder / VISION_ENCODER, model.vision_encoder, 0)}
        progress(_STAGE, 2, _STEPS)
        dtype = dtypes["text_decoder"]
        decoder = CoreAITextDecoder(model.text_decoder, positions, dtype)
        # Any lengths: both are dynamic, and the end is less than the state's positions.
        given = {
            "embeds": torch.zeros(1, 8, llm.hidden_size, dtype=dtype),
            "position_ids": torch.arange(16, dtype=torch.int32)[None],
        }
        caches = _states(model, positions, dtype)
        tokens = torch.export.Dim("tokens", max=positions - 2)
        end = torch.export.Dim("end", max=positions - 1)
        shapes = {"embeds": {1: tokens}, "position_ids": {1: end}, **dict.fromkeys(caches)}
        _write(decoder, given, ("logits",), folder / TEXT_DECODER, describe("text decoder"), caches, shapes)
        progress(_STAGE, 3, _STEPS)
        programs["text_decoder"] = _checked(folder / TEXT_DECODER, model.text_decoder, 2 * llm.num_layers)
        form = write_token_table(model.token_embedding, folder / TOKEN_EMBEDDING)
    progress(_STAGE, _STEPS, _STEPS)
    return CoreAIInfo(
        bytes=total_bytes(folder, _ARTIFACTS),
        recipe=recipe,
        max_context=context,
        cache_positions=positions,
        kv_cache_bytes=llm.kv_cache_bytes(positions, value_bytes=dtypes["text_decoder"].itemsize),
        embedding_form=form,
        types={part: "fp16" if is_half else "fp32" for part, is_half in halves.items()},
        programs=programs,
    )


def _states(model: MobileVLM, positions: int, dtype: torch.dtype) -> dict[str, Tensor]:
    llm = model.config.llm
    shape = (llm.num_layers, 1, llm.num_kv_heads, positions, llm.head_dim)
    return {name: torch.zeros(shape, dtype=dtype) for name in ("k_cache", "v_cache")}


def _write(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    metadata: Any,
    states: Mapping[str, Tensor] | None = None,
    shapes: dict[str, Any] | None = None,
) -> None:
    try:
        with torch.no_grad(), numbered_functions(), _quiet():
            program = _converted(module.eval(), inputs, outputs, states or {}, shapes)
            collect()  # the converter's copies of the weights
            number_arrays(program)
            program.save_asset(path, metadata=metadata)
            _make_reproducible(path / "metadata.json")
    except Exception as error:  # the converter raises nothing more specific
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LoweringError(f"{path.name}: Core AI's converter can't write it ({first:.200})") from error


def _make_reproducible(metadata: Path) -> None:
    """Write again what Core AI writes in another way each time: the order of keys, and the date."""
    values = json.loads(metadata.read_text(encoding="utf-8")) | {"creationDate": _DATE}
    metadata.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _converted(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    states: Mapping[str, Tensor],
    shapes: dict[str, Any] | None,
) -> Any:
    """The program of ``module``, ready to be saved."""
    import coreai_torch

    exported = torch.export.export(
        module, (*inputs.values(), *states.values()), dynamic_shapes=shapes
    ).run_decompositions(coreai_torch.get_decomp_table())
    converter = coreai_torch.TorchConverter(mode=coreai_torch.TorchConverter.Mode.RELEASE)
    converter.add_exported_program(exported, input_names=[*inputs], output_names=[*outputs], state_names=[*states])
    trim()  # what packing int4 has left
    return converter.to_coreai()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's own progress bar."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _checked(path: Path, part: nn.Module, cache_writes: int) -> dict[str, Any]:
    """The operators and integers of the saved program ``path`` of ``part``, for the manifest.

    Raises:
        LoweringError: it doesn't write the cache ``cache_writes`` times, or doesn't hold the part's integers.
    """
    listing = read_listing(path)
    expected = _integers(part)
    operators, held = listing.operators, listing.integers
    wanted = {
        "coreai.blockwise_shift_scale": sum(
            is_quantized(module.weight) for module in part.modules() if isinstance(module, nn.Linear)
        ),
        "coreai.slice_update": cache_writes,
    }
    got = {name: operators[name] for name in wanted}
    if got != wanted:
        raise LoweringError(f"{path.name}: got the operators {got}, expected {wanted}")
    if dict(held) != expected:
        raise LoweringError(f"{path.name}: got the integers {dict(held)}, expected {expected}")
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if size > (limit := size_limit(part) + 8 * COREAI_POSITIONS_BELOW * 256):
        raise LoweringError(f"{path.name}: got {size} bytes, expected at most {limit}")
    return {"operators": dict(sorted(operators.items())), "integers": expected}


def _integers(part: nn.Module) -> dict[str, int]:
    """The number of integer weights of ``part`` by type."""
    counts: dict[str, int] = {}
    for module in part.modules():
        if isinstance(module, nn.Linear) and is_quantized(module.weight):
            kind = "int4" if is_int4(module.weight) else "int8"
            counts[kind] = counts.get(kind, 0) + integers(module.weight).numel()
    return counts


class _AssetMetadata:
    """The assets' metadata."""

    def __init__(self, model: MobileVLM, recipe: Recipe, source_sha256: str) -> None:
        self.name, self.recipe, self.source_sha256 = model.config.name, recipe, source_sha256

    def __call__(self, what: str) -> Any:
        from coreai.runtime import AIModelAssetMetadata

        metadata = AIModelAssetMetadata()
        metadata.author = "mobilevlm-kit"
        metadata.license = f"The licence of the checkpoint {self.name}; the program around it: Apache-2.0"
        metadata.model_description = f"MobileVLM V2's {what} ({self.name}). Experimental: no device has run it."
        facts = {
            "kit_version": __version__,
            "source": self.name,
            "source_sha256": self.source_sha256,
            "recipe": self.recipe.name,
        }
        for key, value in facts.items():
            metadata.set_custom(f"org.mobilevlm.{key}", value)
        return metadata
