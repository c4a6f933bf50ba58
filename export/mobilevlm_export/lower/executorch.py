"""Lower a model to one ``.pte`` that ExecuTorch's ``MultimodalRunner`` loads: export, delegate, check, write.

Methods: ``vision_encoder`` (uint8 [1, 3, S, S] → embeddings, features), ``token_embedding`` (int64 [1, T] → [1, T, D])
and ``text_decoder`` (float [1, T, D], position int64 [1] → logits of the last position [1, 1, V]); constant
methods give the runner the limits and ids. T is dynamic up to ``max_prefill``.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401 — registers torch.ops.llama
import torch
from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import get_lowered_backend_modules
from executorch.exir.program import EdgeProgramManager, ExecutorchProgramManager
from torch import nn
from torch.export import Dim, ExportedProgram

from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.dependencies.xnnpack_private import lean_xnnpack, release_weights
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.job import default_prefill
from mobilevlm_export.lower.ambiguous_weights import require_distinct_weights
from mobilevlm_export.lower.graph_checks import ExpectedMethod, MethodInfo, check_method
from mobilevlm_export.lower.graph_passes import share_activation_quantization
from mobilevlm_export.lower.modules import TextDecoderMethod, TokenEmbeddingMethod, VisionEncoderMethod
from mobilevlm_export.lower.partitioner import LevelPartitioner
from mobilevlm_export.lower.projector_modules import mean_linears
from mobilevlm_export.lower.requirements import require_context, require_recipe, size_limit
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import Recipe


@dataclass(frozen=True)
class ArtifactInfo:
    """A lowered artifact: its path, size, how it was made, and the contents of its methods. Lengths are in tokens."""

    file: Path
    bytes: int
    recipe: Recipe
    max_context: int
    max_prefill: int
    kv_cache_bytes: int
    methods: Mapping[str, MethodInfo]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest, with the file's name alone."""
        return {
            "file": self.file.name,
            "bytes": self.bytes,
            "recipe": self.recipe.to_json(),
            "max_context": self.max_context,
            "max_prefill": self.max_prefill,
            "kv_cache_bytes": self.kv_cache_bytes,
            "methods": {name: info.to_json() for name, info in self.methods.items()},
            "versions": dict(self.versions),
        }


def lower_executorch(
    model: MobileVLM,
    recipe: Recipe,
    out_path: Path,
    *,
    max_context: int | None = None,
    max_prefill: int | None = None,
    progress: Progress = silent,
) -> ArtifactInfo:
    """Write ``model``, quantized with ``recipe``, to ``out_path`` as an ExecuTorch program for XNNPACK.

    Defaults: :func:`mobilevlm_export.job.default_context` and :func:`mobilevlm_export.job.default_prefill`. The model is not
    changed. ``out_path`` is written only if the whole program passes its checks.

    Raises:
        LoweringError: a length is out of range, a part isn't quantized as in the recipe, an operator is left outside
            the delegates, phones would take two weights for one, or a file can't be written.
    """
    max_context, max_prefill = _lengths(model, max_context, max_prefill)
    with _quiet(), torch.no_grad():
        programs = _export(model, max_context, max_prefill, progress)
        expected = _expectations(model, recipe)
        # One for the encoder, and those before, between and after the decoder's attentions, and the head.
        delegates = 1 + model.config.llm.num_layers + 2
        begun = itertools.count()
        progress("delegate", 0, delegates)
        with lean_xnnpack(lambda: progress("delegate", next(begun), delegates)):
            edge = _delegate(programs, _constant_methods(model, max_context, max_prefill))
        del programs
        progress("delegate", delegates, delegates)
        methods = {name: check_method(name, edge.exported_program(name), expected[name]) for name in expected}
        lowered = [
            part for name in expected for part in get_lowered_backend_modules(edge.exported_program(name).graph_module)
        ]
        progress("emit", 0, 1)
        program = edge.to_executorch(
            ExecutorchBackendConfig(extract_delegate_segments=True, do_quant_fusion_and_const_prop=True)
        )
        del edge
        _check_embedding(program, recipe)
        progress("emit", 1, 1)
    _write(program, out_path)
    del program
    release_weights(lowered)
    llm = model.config.llm
    return ArtifactInfo(
        file=out_path,
        bytes=out_path.stat().st_size,
        recipe=recipe,
        max_context=max_context,
        max_prefill=max_prefill,
        kv_cache_bytes=llm.kv_cache_bytes(max_context, value_bytes=4),
        methods=methods,
        versions={name: importlib.metadata.version(name) for name in ("executorch", "torch", "torchao")},
    )


def _lengths(model: MobileVLM, max_context: int | None, max_prefill: int | None) -> tuple[int, int]:
    context = require_context(model.config, max_context)
    prefill = default_prefill(model.config, context) if max_prefill is None else max_prefill
    if not max(model.config.image_tokens, 2) <= prefill <= context:
        raise LoweringError(
            f"max_prefill: got {prefill}, expected at least the {model.config.image_tokens} tokens of an image and "
            f"at most the context of {context}"
        )
    return context, prefill


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' warnings about their own deprecated calls, and about the KV cache's buffers, which
    intentionally have no initial value.
    """
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        yield


def _export(model: MobileVLM, max_context: int, max_prefill: int, progress: Progress) -> dict[str, ExportedProgram]:
    config = model.config
    side, width = config.vision.image_size, config.llm.hidden_size
    tokens = Dim("tokens", min=1, max=max_prefill)
    example = min(8, max_prefill)
    calls: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...], Any]] = {
        "vision_encoder": (
            VisionEncoderMethod(model.vision_encoder),
            (torch.zeros(1, 3, side, side, dtype=torch.uint8),),
            None,
        ),
        "token_embedding": (
            TokenEmbeddingMethod(model),
            (torch.zeros(1, example, dtype=torch.long),),
            ({1: tokens},),
        ),
        "text_decoder": (
            TextDecoderMethod(model.text_decoder, max_context),
            (torch.zeros(1, example, width), torch.zeros(1, dtype=torch.long)),
            ({1: tokens}, None),
        ),
    }
    programs = {}
    for done, (name, (method, inputs, dynamic)) in enumerate(calls.items()):
        progress("export", done, len(calls))
        programs[name] = torch.export.export(method.eval(), inputs, dynamic_shapes=dynamic, strict=False)
        share_activation_quantization(programs[name])
    progress("export", len(calls), len(calls))
    return programs


def _constant_methods(model: MobileVLM, max_context: int, max_prefill: int) -> dict[str, Any]:
    config = model.config
    return {
        "get_max_seq_len": max_prefill,
        "get_max_context_len": max_context,
        "get_vocab_size": config.llm.vocab_size,
        "get_bos_id": config.bos_id,
        "get_eos_ids": [config.eos_id],
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": True,
        "enable_dynamic_shape": True,
    }


def _delegate(programs: dict[str, ExportedProgram], constant_methods: dict[str, Any]) -> EdgeProgramManager:
    return to_edge_transform_and_lower(
        programs,
        partitioner={"vision_encoder": [LevelPartitioner()], "text_decoder": [LevelPartitioner()]},
        compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True),
        constant_methods=constant_methods,
    )


def _expectations(model: MobileVLM, recipe: Recipe) -> dict[str, ExpectedMethod]:
    llm, vision = model.config.llm, model.config.vision
    require_recipe(model, recipe)
    decoder, encoder = model.text_decoder, model.vision_encoder
    # In addition to the model's own linears: a mean for each norm, and a rotation for q and k.
    decoder_linears = _count_linears(decoder) + (2 * llm.num_layers + 1) + 2 * llm.num_layers
    encoder_linears = _count_linears(encoder) + 2 * (2 * vision.num_run_layers + 1) + mean_linears(encoder.projector)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in encoder.modules())
    return {
        "vision_encoder": ExpectedMethod(
            outside={"_to_copy": 1},
            delegated={"linear": encoder_linears, "convolution": convolutions, "bmm": 2 * vision.num_run_layers},
            quantized_linears=_count_linears(encoder, quantized=True),
            max_delegate_bytes=size_limit(encoder),
        ),
        "token_embedding": ExpectedMethod(
            outside={"embedding": 1, "dequantize_affine": int(is_quantized(model.token_embedding.weight))},
            delegated={},
            quantized_linears=0,
            max_delegate_bytes=0,
        ),
        "text_decoder": ExpectedMethod(
            outside={
                "_local_scalar_dense": 1,
                "slice_copy": 3,  # cosines, sines, the last position
                "update_cache": 2 * llm.num_layers,
                "custom_sdpa": llm.num_layers,
            },
            delegated={"linear": decoder_linears},
            quantized_linears=_count_linears(decoder, quantized=True),
            max_delegate_bytes=size_limit(decoder),
        ),
    }


def _count_linears(part: nn.Module, quantized: bool = False) -> int:
    linears = [module for module in part.modules() if isinstance(module, nn.Linear)]
    return sum(1 for module in linears if is_quantized(module.weight) or not quantized)


def _check_embedding(program: ExecutorchProgramManager, recipe: Recipe) -> None:
    kernel = {"fp32": "aten::embedding", "int8": "quantized_decomposed::embedding_byte"}
    wanted = kernel.get(recipe.embedding, "quantized_decomposed::embedding_4bit")
    for plan in program.executorch_program.execution_plan:
        if plan.name == "token_embedding":
            names = [operator.name for operator in plan.operators]
            if wanted not in names:
                raise LoweringError(f"token_embedding: got the kernels {', '.join(names)}, expected {wanted}")


def _write(program: ExecutorchProgramManager, out_path: Path) -> None:
    with atomic_file(out_path, error=LoweringError) as temporary:
        with temporary.open("wb") as file:
            program.write_to_file(file)
        require_distinct_weights(temporary)
