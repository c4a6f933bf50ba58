"""Lower a model to Core ML packages that Xcode and iOS 18 load unchanged: build, write, read back, check.

``vision_encoder.mlpackage``, ``text_decoder.mlpackage`` and ``token_embedding.safetensors`` contain exactly the integers and scales
of the quantized model: an ExecuTorch program of the same model differs only in its activations.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mobilevlm_export import __version__
from mobilevlm_export.dependencies.torchao_private import is_int4, is_quantized
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.job import CACHE_UPDATES
from mobilevlm_export.lower.artifact_files import removed_on_failure, total_bytes
from mobilevlm_export.lower.coreml_checks import ExpectedFunction, FunctionInfo, check_package
from mobilevlm_export.lower.coreml_layers import compute_type
from mobilevlm_export.lower.coreml_package import Description, write_package
from mobilevlm_export.lower.coreml_projectors import projector_operators
from mobilevlm_export.lower.coreml_text_decoder import DECODE, PREFILL, DecoderShape, text_decoder_program
from mobilevlm_export.lower.coreml_vision_encoder import FUNCTION, vision_encoder_program
from mobilevlm_export.lower.requirements import (
    STATE_ALIGNMENT,
    require_cache_update,
    require_context,
    require_one_type,
    require_recipe,
    size_limit,
)
from mobilevlm_export.lower.token_table import write_token_table
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import Recipe

VISION_ENCODER, TEXT_DECODER = "vision_encoder.mlpackage", "text_decoder.mlpackage"
TOKEN_EMBEDDING = "token_embedding.safetensors"
_ARTIFACTS = (VISION_ENCODER, TEXT_DECODER, TOKEN_EMBEDDING)
DEFAULT_PREFILL_CHUNK = 64
_STAGE, _STEPS = "Core ML", 6


@dataclass(frozen=True)
class CoreMLInfo:
    """The written artifacts: their size, how they were made, and the operators of their functions. Lengths are in tokens."""

    bytes: int
    recipe: Recipe
    max_context: int
    prefill_chunk: int
    cache_positions: int
    kv_cache_bytes: int
    cache_update: str
    embedding_form: str
    types: Mapping[str, str]
    functions: Mapping[str, Mapping[str, FunctionInfo]]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest; paths are relative to the bundle."""
        functions = {
            package: {name: info.to_json() for name, info in infos.items()} for package, infos in self.functions.items()
        }
        return {
            # Identifies the package; every reader finds it among the manifest's files.
            "file": f"{TEXT_DECODER}/Manifest.json",
            "bytes": self.bytes,
            "recipe": self.recipe.to_json(),
            "vision_encoder": {"package": VISION_ENCODER, "functions": functions["vision_encoder"]},
            "text_decoder": {"package": TEXT_DECODER, "functions": functions["text_decoder"]},
            "token_embedding": {"file": TOKEN_EMBEDDING, "form": self.embedding_form},
            "types": dict(self.types),
            "max_context": self.max_context,
            "max_prefill": self.max_context,
            "prefill_chunk": self.prefill_chunk,
            "cache_positions": self.cache_positions,
            "cache_update": self.cache_update,
            "kv_cache_bytes": self.kv_cache_bytes,
            "compute_units": "cpuAndGPU",
            "verified_on_device": False,
            "versions": dict(self.versions),
        }


def lower_coreml(
    model: MobileVLM,
    recipe: Recipe,
    folder: Path,
    *,
    max_context: int | None = None,
    prefill_chunk: int | None = None,
    cache_update: str = CACHE_UPDATES[0],
    source_sha256: str = "",
    progress: Progress = silent,
) -> CoreMLInfo:
    """Write ``model``, quantized with ``recipe``, into ``folder``; ``source_sha256`` is the checkpoint's hash, for the metadata.

    The default context is :func:`mobilevlm_export.job.default_context`. ``cache_update`` is how keys and values are written
    to the cache: ``slice`` writes at a dynamic index; ``one-hot`` multiplies by a mask over all positions, for engines without
    dynamic indices. The model is not changed.

    Raises:
        LoweringError: a length is out of range, a part isn't quantized as in the recipe, a value doesn't fit float16, a saved
            program isn't as expected, or a file can't be written.
    """
    shape, context = _shape(model, max_context, prefill_chunk, cache_update)
    require_recipe(model, recipe)
    require_one_type(model, recipe)
    types = {knob: compute_type(getattr(recipe, knob)) for knob in ("vision", "projector", "llm", "lm_head")}
    descriptions = _Descriptions(model, recipe, context, shape, source_sha256)
    with removed_on_failure(folder, _ARTIFACTS):
        functions = {
            "vision_encoder": _write_vision_encoder(model, types, descriptions, folder / VISION_ENCODER, progress),
            "text_decoder": _write_text_decoder(model, shape, types, descriptions, folder / TEXT_DECODER, progress),
        }
        form = write_token_table(model.token_embedding, folder / TOKEN_EMBEDDING)
    progress(_STAGE, _STEPS, _STEPS)
    llm = model.config.llm
    return CoreMLInfo(
        bytes=total_bytes(folder, _ARTIFACTS),
        recipe=recipe,
        max_context=context,
        prefill_chunk=shape.chunk,
        cache_positions=shape.positions,
        kv_cache_bytes=llm.kv_cache_bytes(shape.positions, value_bytes=2),
        cache_update=cache_update,
        embedding_form=form,
        types=types,
        functions=functions,
        versions={name: importlib.metadata.version(name) for name in ("coremltools", "torch", "torchao")},
    )


def _shape(
    model: MobileVLM, max_context: int | None, prefill_chunk: int | None, cache_update: str
) -> tuple[DecoderShape, int]:
    context = require_context(model.config, max_context)
    require_cache_update(model.config, cache_update)
    chunk = min(DEFAULT_PREFILL_CHUNK, context) if prefill_chunk is None else prefill_chunk
    if not 2 <= chunk <= context:
        raise LoweringError(f"prefill_chunk: got {chunk}, expected 2 to the context of {context}")
    # Leave room for a padded chunk that starts at the last position.
    positions = -(-(context + chunk - 1) // STATE_ALIGNMENT) * STATE_ALIGNMENT
    return DecoderShape(chunk, positions, cache_update), context


def _write_vision_encoder(
    model: MobileVLM, types: Mapping[str, str], descriptions: _Descriptions, path: Path, progress: Progress
) -> dict[str, FunctionInfo]:
    encoder, side = model.vision_encoder, model.config.vision.image_size
    progress(_STAGE, 0, _STEPS)
    program = vision_encoder_program(encoder, side, (types["vision"], types["projector"], types["llm"]))
    progress(_STAGE, 1, _STEPS)
    write_package(program, descriptions.vision_encoder(), path)
    progress(_STAGE, 2, _STEPS)
    return check_package(path, _expected_vision(model, types), size_limit(encoder))


def _write_text_decoder(
    model: MobileVLM,
    shape: DecoderShape,
    types: Mapping[str, str],
    descriptions: _Descriptions,
    path: Path,
    progress: Progress,
) -> dict[str, FunctionInfo]:
    decoder = model.text_decoder
    progress(_STAGE, 3, _STEPS)
    program = text_decoder_program(decoder, shape, (types["llm"], types["lm_head"]))
    progress(_STAGE, 4, _STEPS)
    write_package(program, descriptions.text_decoder(), path)
    progress(_STAGE, 5, _STEPS)
    rope_tables = 2 * 4 * shape.positions * model.config.llm.head_dim
    return check_package(path, _expected_text(model, shape, types), size_limit(decoder) + rope_tables)


def _expected_vision(model: MobileVLM, types: Mapping[str, str]) -> dict[str, ExpectedFunction]:
    layers, encoder = model.config.vision.num_run_layers, model.vision_encoder
    tower = Counter({"conv": 1, "layer_norm": 2 * layers + 1, "scaled_dot_product_attention": layers})
    operators = tower + projector_operators(encoder.projector)
    linears = _forms(encoder.tower, types["vision"]) + _forms(encoder.projector, types["projector"])
    return {FUNCTION: ExpectedFunction(operators | _constexprs(linears), linears)}


def _expected_text(model: MobileVLM, shape: DecoderShape, types: Mapping[str, str]) -> dict[str, ExpectedFunction]:
    layers, decoder = model.config.llm.num_layers, model.text_decoder
    linears = _forms(decoder.layers, types["llm"]) + _forms(decoder.lm_head, types["lm_head"])
    operators = {
        "write_state": 2 * layers,
        "read_state": 2 + 2 * layers,  # once at the start, and again after each write
        "slice_update": 2 * layers,
        "scaled_dot_product_attention": layers,
        "rsqrt": 2 * layers + 1,
    }
    # Lookups at a dynamic index: RoPE's rows, and the last real token of a chunk.
    lookups = {PREFILL: 3, DECODE: 2} if shape.cache_update == "slice" else {PREFILL: 0, DECODE: 0}
    return {
        name: ExpectedFunction(operators | _constexprs(linears) | {"gather": lookups[name]}, linears)
        for name in (PREFILL, DECODE)
    }


def _forms(part: nn.Module, dtype: str) -> Counter[str]:
    """The number of linears in ``part`` by the form of their weight."""
    weights = [module.weight for module in part.modules() if isinstance(module, nn.Linear)]
    return Counter(("int4" if is_int4(weight) else "int8") if is_quantized(weight) else dtype for weight in weights)


def _constexprs(linears: Counter[str]) -> dict[str, int]:
    return {"constexpr_blockwise_shift_scale": linears["int4"] + linears["int8"]}


class _Descriptions:
    """The packages' metadata, as shown by Xcode."""

    def __init__(self, model: MobileVLM, recipe: Recipe, context: int, shape: DecoderShape, source_sha256: str) -> None:
        self.config, self.shape, self.context = model.config, shape, context
        self.license = f"The licence of the checkpoint {model.config.name}; the program around it: Apache-2.0"
        self.facts = {
            "org.mobilevlm.kit_version": __version__,
            "org.mobilevlm.source": model.config.name,
            "org.mobilevlm.source_sha256": source_sha256,
            "org.mobilevlm.recipe": recipe.name,
            **{f"org.mobilevlm.recipe.{knob}": value for knob, value in recipe.to_json().items() if knob != "name"},
        }

    def vision_encoder(self) -> Description:
        config, vision = self.config, self.config.vision
        return Description(
            summary=f"The vision encoder of {config.name}: CLIP's tower and {config.projector.kind.name}, with normalization.",
            license=self.license,
            features={
                "image": f"The picture, padded to a square and resized to {vision.image_size} × {vision.image_size} "
                "pixels as the bundle's manifest says.",
                "image_embeddings": f"[1, {config.image_tokens}, {config.llm.hidden_size}]: the picture as embeddings for "
                "text_decoder.",
                "features": f"[1, {vision.num_patches}, {vision.hidden_size}]: CLIP's features before the projector, for comparison.",
            },
            facts=self.facts,
        )

    def text_decoder(self) -> Description:
        config, shape = self.config, self.shape
        llm = config.llm
        cache = f"[{llm.num_layers}, {llm.num_kv_heads}, {shape.positions}, {llm.head_dim}]: layers, heads, positions, width."
        return Description(
            summary=f"The text decoder of {config.name}: prefill takes {shape.chunk} embeddings a call, decode one; "
            "both keep the same KV cache.",
            license=self.license,
            features={
                "embeds": f"[1, tokens, {llm.hidden_size}]: embeddings of text or image; prefill takes {shape.chunk}, "
                "the last call's padded at the end with anything.",
                "input_pos": "The position of the first embedding: how many came before it in this conversation.",
                "length": f"How many of the {shape.chunk} embeddings are real, from the first on.",
                "logits": f"[1, 1, {llm.vocab_size}]: scores of the token that follows the last real embedding.",
                "k_cache": f"Keys of every position so far, {cache}",
                "v_cache": f"Values of every position so far, {cache}",
            },
            facts=self.facts
            | {
                "org.mobilevlm.max_context": str(self.context),
                "org.mobilevlm.prefill_chunk": str(shape.chunk),
                "org.mobilevlm.cache_update": shape.cache_update,
            },
        )
