"""The quantized model → one ``model.pte`` that ExecuTorch's stock multimodal runner loads unchanged.

Methods: ``vision_encoder``, ``token_embedding``, ``text_decoder``; constant methods as the runner asks for them (ExecuTorch's
``extension/llm/runner/constants.h``). The lowered graphs are then read back: see :func:`_checked`.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch.export import Dim, ExportedProgram, export

from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower.delegable import LoweredTextDecoder, LoweredVisionEncoder, make_delegable
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent

# What must run inside a delegate: left outside, it would be right but many times slower and in float.
_HEAVY = (
    "aten.linear",
    "aten.addmm",
    "aten.mm.",
    "aten.bmm",
    "aten.convolution",
    "aten.softmax",
    "aten._softmax",
    "aten.gelu",
)
_SILENT_FALLBACK = ("torchao.dequantize_affine", "quantized_decomposed.dequantize")
_MAX_PREFILL = 512


@dataclass(frozen=True)
class MethodReport:
    """What a method of the artifact consists of."""

    delegates: int
    delegated_ops: int
    kv_cache_ops: int
    outside: dict[str, int]


@dataclass(frozen=True)
class ArtifactInfo:
    """The artifact: its size, and what each method holds; ``max_prefill`` is the longest input of one call, in tokens."""

    bytes: int
    max_context: int
    max_prefill: int
    methods: dict[str, MethodReport]

    def to_json(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return asdict(self)


def lower_executorch(
    model: MobileVLM, output: Path, *, max_context: int, max_prefill: int = _MAX_PREFILL, progress: Progress = silent
) -> ArtifactInfo:
    """Lower ``model`` (quantized or not; it is changed and can't be used afterwards) into the file ``output``.

    Raises:
        LoweringError: something heavy stayed outside the delegate, the KV cache's operators are not all there, or the
            context is longer than the model's.
    """
    longest = model.config.llm.max_position_embeddings
    if not model.config.image_tokens < max_context <= longest:
        raise LoweringError(
            f"max context: got {max_context} tokens, expected more than the image's {model.config.image_tokens} "
            f"and at most the model's {longest}"
        )
    max_prefill = min(max_prefill, max_context)
    make_delegable(model)
    with _quiet():
        programs = {}
        for index, (name, program) in enumerate(_programs(model, max_context, max_prefill)):
            progress("tracing", index + 1, 3)
            programs[name] = program
        progress("lowering to XNNPACK", 0, 0)
        edge = to_edge_transform_and_lower(
            programs,
            partitioner={name: [XnnpackPartitioner()] for name in ("vision_encoder", "text_decoder")},
            constant_methods=_constants(model, max_context, max_prefill),
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )
        methods = _checked(edge, model.config.llm.num_layers)
        progress("writing the program", 0, 0)
        # Fuses the quantized embedding's table and look-up into one operator.
        program = edge.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=True))
        with output.open("wb") as file:
            program.write_to_file(file)
    return ArtifactInfo(output.stat().st_size, max_context, max_prefill, methods)


def _programs(model: MobileVLM, max_context: int, max_prefill: int) -> Iterator[tuple[str, ExportedProgram]]:
    size, hidden = model.config.vision.image_size, model.config.llm.hidden_size
    tokens = Dim("tokens", min=1, max=max_prefill)
    example = 7  # any length that isn't 0 or 1, which export would take as fixed
    pixels = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    yield "vision_encoder", export(LoweredVisionEncoder(model.vision_encoder), (pixels,))
    ids = torch.zeros(1, example, dtype=torch.long)
    yield "token_embedding", export(model.token_embedding, (ids,), dynamic_shapes=({1: tokens},))
    decoder = LoweredTextDecoder(model.text_decoder, max_context)
    at_position = (torch.zeros(1, example, hidden), torch.zeros(1, dtype=torch.long))
    yield "text_decoder", export(decoder, at_position, dynamic_shapes=({1: tokens}, None))


def _constants(model: MobileVLM, max_context: int, max_prefill: int) -> dict[str, Any]:
    return {
        "get_max_seq_len": max_prefill,
        "get_max_context_len": max_context,
        "get_vocab_size": model.config.llm.vocab_size,
        "get_bos_id": model.config.bos_id,
        "get_eos_ids": [model.config.eos_id],
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": True,
        "enable_dynamic_shape": True,
    }


def _checked(edge: EdgeProgramManager, layers: int) -> dict[str, MethodReport]:
    """Read the lowered graphs back and refuse what would be slow or wrong."""
    reports = {
        name: _report(edge.exported_program(name)) for name in ("vision_encoder", "token_embedding", "text_decoder")
    }
    for name in ("vision_encoder", "text_decoder"):
        for op, count in reports[name].outside.items():
            if op.startswith((*_HEAVY, *_SILENT_FALLBACK)):
                raise LoweringError(f"{name}: got {count} x {op} outside the delegate, expected all of it in XNNPACK")
    expected = 3 * layers  # two cache updates and one attention a layer
    if reports["text_decoder"].kv_cache_ops != expected:
        raise LoweringError(
            f"text_decoder: got {reports['text_decoder'].kv_cache_ops} KV-cache operators, expected {expected} ({layers} layers)"
        )
    return reports


def _report(program: ExportedProgram) -> MethodReport:
    outside: Counter[str] = Counter()
    delegates = delegated = cache_ops = 0
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        name = _op_name(node)
        if name == "executorch_call_delegate":
            delegates += 1
            lowered = getattr(program.graph_module, node.args[0].target)
            inside = lowered.original_module.graph.nodes
            delegated += sum(inner.op == "call_function" for inner in inside)
        elif name.startswith("llama."):
            cache_ops += 1
        elif name != "getitem":
            outside[name] += 1
    return MethodReport(delegates, delegated, cache_ops, dict(sorted(outside.items())))


def _op_name(node: torch.fx.Node) -> str:
    """``namespace.operator.overload`` of ``node``, seen through the wrappers of torch.export and ExecuTorch."""
    target: Any = node.target
    if "auto_functionalized" in str(target):  # an operator that writes in place: the cache update
        target = node.args[0]
    if isinstance(target, EdgeOpOverload):
        target = target._op
    return str(target) if isinstance(target, torch._ops.OpOverload) else str(getattr(target, "__name__", target))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the deprecation notices of torch and ExecuTorch, which a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
