"""Quantize a model in place with a recipe.

Linears become ``8da4w`` (activations int8 per token, quantized dynamically; weights int4 in groups of 32, fitted to the
linear's inputs) or ``8da8w`` (weights int8 per output channel). The token embedding becomes
int8 rows or int4 groups. torchao does the arithmetic. The peak is the model plus one layer in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup
from torchao.quantization.quant_primitives import MappingType

from mobilevlm_export.dependencies.torchao_private import INT4, integers, is_quantized, scales
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.free_memory import trim
from mobilevlm_export.model.mobilellama import DecoderLayer
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.model.vision_encoder import VisionLayer
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.gptq import round_to_int4
from mobilevlm_export.quantize.kept_rounding import KeptRounding
from mobilevlm_export.quantize.recipe import KNOBS, Recipe
from mobilevlm_export.quantize.report import ComponentReport, QuantizeReport, Unquantized, left_over, shipped_bytes
from mobilevlm_export.quantize.rewrite import rewrite_head, rewrite_layer
from mobilevlm_export.threads import one_thread

_SMALL = 2**20  # values in the largest weight
GROUP_SIZE = 32  # XNNPACK's kernels require multiples of 32; the smallest group loses the least accuracy


class LinearInputs(Protocol):
    """The inputs of linears: :class:`mobilevlm_export.quantize.linear_inputs.CalibratedInputs`."""

    description: str

    def hessian(self, part: str, path: str) -> torch.Tensor:
        """Float32 [K, K]: the sum of outer products of the inputs of the linear at ``path`` in ``part``."""
        ...


def quantize(
    model: MobileVLM,
    recipe: Recipe,
    progress: Progress = silent,
    inputs: LinearInputs | None = None,
    kept: KeptRounding | None = None,
) -> QuantizeReport:
    """Quantize ``model`` in place with ``recipe``; everything else becomes float32.

    Layers that are quantized are rewritten first, exactly (:mod:`mobilevlm_export.quantize.rewrite`).

    The model may be in half precision to save memory: each weight is widened only while it is quantized. int4 weights
    of linears are fitted to ``inputs``, or without them to the weights alone; what is ``kept`` isn't computed again.

    Raises:
        QuantizeError: the model is already quantized, a weight is not finite, or the recipe names a layer that the model doesn't
            have.
    """
    _require_layers(model, recipe)
    total = largest = 0
    for name, part in model_parts(model).items():
        for path, module in quantizable(part):
            _require_float(module, _where(name, path))
            total, largest = total + 1, max(largest, module.weight.numel())
    step = itertools.count(1)
    fit = _Fit(inputs, kept) if inputs else None
    with nullcontext() if largest > _SMALL else one_thread():
        reports = {
            name: _quantize_part(model, name, recipe, fit, lambda: progress("quantize", next(step), total))
            for name in model_parts(model)
        }
    return QuantizeReport(
        recipe,
        tuple(reports[name][0] for name in KNOBS),
        tuple(left for name in KNOBS for left in reports[name][1]),
        calibration=inputs.description if inputs else "",
    )


class _Fit:
    """Rounds int4 weights so that they are fitted to ``inputs``."""

    def __init__(self, inputs: LinearInputs, kept: KeptRounding | None) -> None:
        self._inputs, self._kept = inputs, kept

    def integers(self, part: str, path: str, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """As :func:`round_to_int4`, for the linear at ``path`` in ``part``."""

        def rounded() -> torch.Tensor:
            return round_to_int4(weight, scales, self._inputs.hessian(part, path))

        where = _where(part, path)
        return self._kept.integers(where, weight, scales, rounded) if self._kept else rounded()


def _quantize_part(
    model: MobileVLM, name: str, recipe: Recipe, fit: _Fit | None, done: Callable[[], None]
) -> tuple[ComponentReport, list[Unquantized]]:
    """Quantize the part ``name`` of ``model``; ``done`` is called after each weight."""
    part, weights = model_parts(model)[name], []
    for block, modules in itertools.groupby(quantizable(part), key=lambda found: _block(found[0])):
        if recipe.scheme(name, block) != "fp32":
            _rewrite(model, name, block)
        for path, module in modules:
            weights.append(_quantize_weight(module, name, path, recipe, fit))
            trim()
            done()
    widen(part)
    report = ComponentReport(
        name,
        _scheme_name(name, recipe, fit is not None),
        sum(weight.bits < 32 for weight in weights),
        sum(weight.float_bytes for weight in weights),
        sum(weight.bytes for weight in weights),
    )
    return report, [weight.widened for weight in weights if weight.widened] + left_over(name, part)


@dataclass(frozen=True)
class _QuantizedWeight:
    """Bits of a quantized weight, its bytes in float32 and as shipped, and why it has more bits than the recipe says, if it has."""

    bits: int
    float_bytes: int
    bytes: int
    widened: Unquantized | None


def _quantize_weight(
    module: nn.Linear | nn.Embedding, part: str, path: str, recipe: Recipe, fit: _Fit | None
) -> _QuantizedWeight:
    """Quantize the weight of ``module``, at ``path`` in ``part``."""
    scheme = recipe.scheme(part, path)
    float_bytes = module.weight.numel() * 4
    bits = _bits(scheme, module)
    weight = module.weight.detach().float()
    _quantize_module(module, bits, _where(part, path))
    if bits == 4 and fit and isinstance(module, nn.Linear):
        quantized: Any = module.weight
        integers(quantized).copy_(fit.integers(part, path, weight, scales(quantized)))
    shipped, widened = shipped_bytes(module.weight), None
    if scheme == "int4" and bits == 8:
        widened = Unquantized(part, f"{path}.weight".lstrip("."), shipped, _group_reason(module))
    return _QuantizedWeight(bits, float_bytes, shipped, widened)


def _where(part: str, path: str) -> str:
    return f"{part}.{path}".rstrip(".")


def model_parts(model: MobileVLM) -> dict[str, nn.Module]:
    """The part of ``model`` for each of :data:`KNOBS`, in the order of the data path; every parameter is in one of them."""
    decoder = model.text_decoder
    return {
        "vision": model.vision_encoder.tower,
        "projector": model.vision_encoder.projector,
        "embedding": model.token_embedding,
        "llm": nn.ModuleDict({"layers": decoder.layers, "norm": decoder.norm}),
        "lm_head": decoder.lm_head,
    }


def quantizable(part: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Embedding]]:
    """The linears and embeddings of ``part`` with their paths in it, in the order of its parameters."""
    for path, module in part.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            yield path, module


def _require_layers(model: MobileVLM, recipe: Recipe) -> None:
    layers = model.config.llm.num_layers
    if beyond := [layer for layer in recipe.layer_schemes if layer >= layers]:
        raise QuantizeError(f"llm_layers: got layer {max(beyond)}, expected at most {layers - 1}, the model's last")


def _require_float(module: nn.Linear | nn.Embedding, path: str) -> None:
    if is_quantized(module.weight):
        raise QuantizeError(f"{path}: got a weight that is already quantized, expected floating point")


def _require_finite(weight: torch.Tensor, path: str) -> None:
    if not bool(torch.isfinite(weight).all()):
        raise QuantizeError(f"{path}: got values that are not finite, expected numbers")


def _block(path: str) -> str:
    """The layer that the weight at ``path`` is in, such as ``layers.3``; empty outside of layers."""
    return ".".join(path.split(".")[:2]) if path.startswith("layers.") else ""


def _rewrite(model: MobileVLM, name: str, block: str) -> None:
    """Rewrite the layer ``block`` of the part ``name``, or ``lm_head``; other parts have nothing to rewrite."""
    part = model_parts(model)[name]
    if block:
        layer = part.get_submodule(block)
        assert isinstance(layer, DecoderLayer | VisionLayer)
        widen(layer)
        for path, parameter in layer.named_parameters():  # one such value would spread over the layer
            _require_finite(parameter, f"{name}.{block}.{path}")
        rewrite_layer(layer)
    elif name == "lm_head":
        widen(model.text_decoder.norm)
        widen(model.text_decoder.lm_head)
        rewrite_head(model.text_decoder)


def _bits(scheme: str, module: nn.Linear | nn.Embedding) -> int:
    bits = {"fp32": 32, "int8": 8, "int4": 4}[scheme]
    return 8 if bits == 4 and module.weight.shape[1] % GROUP_SIZE else bits


def _group_reason(module: nn.Linear | nn.Embedding) -> str:
    return f"int8: its {module.weight.shape[1]} inputs are not a multiple of the int4 group size {GROUP_SIZE}"


def _scheme_name(component: str, recipe: Recipe, calibrated: bool) -> str:
    scheme = getattr(recipe, component)
    if scheme == "fp32":
        named = "fp32"
    elif component == "embedding":
        named = {"int8": "int8 per row", "int4": f"int4 in groups of {GROUP_SIZE}"}[scheme]
    else:
        groups = f"8da4w in groups of {GROUP_SIZE}" + (", calibrated" if calibrated else "")
        named = {"int8": "8da8w per channel", "int4": groups}[scheme]
    return f"{named}; layers {recipe.llm_layers}" if component == "llm" and recipe.llm_layers else named


def _quantize_module(module: nn.Linear | nn.Embedding, bits: int, path: str) -> None:
    module.weight = nn.Parameter(module.weight.detach().float(), requires_grad=False)
    if bits == 32:
        return
    dtype, granularity = (INT4, PerGroup(GROUP_SIZE)) if bits == 4 else (torch.int8, PerAxis(0))
    if isinstance(module, nn.Embedding):
        config = IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity)
    elif bits == 4:
        # The kernels store the scales of groups in bfloat16. Rounding the scales first fits the weights to the rounded
        # scales, and makes this model equal to the artifact.
        config = Int8DynamicActivationIntxWeightConfig(
            weight_dtype=dtype,
            weight_granularity=granularity,
            weight_mapping_type=MappingType.SYMMETRIC_NO_CLIPPING_ERR,  # uses all of -8 … 7 where possible
            weight_scale_dtype=torch.bfloat16,
        )
    else:
        config = Int8DynamicActivationIntxWeightConfig(weight_dtype=dtype, weight_granularity=granularity)
    quantize_(module, config, filter_fn=lambda found, _: found is module)
    _require_finite(scales(module.weight), f"{path}.weight")


def widen(part: nn.Module) -> None:
    """Make every float parameter of ``part`` float32; torchao's tensors keep the scales they were fitted to."""
    for parameter in part.parameters():
        if not is_quantized(parameter):
            parameter.data = parameter.data.float()
