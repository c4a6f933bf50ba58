"""Named quantization recipes, one knob a part, applied to the model in place with torchao."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup

from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent

GROUP_SIZE = 32
_SCHEMES = {
    "llm": ("fp32", "int8", "int4"),
    "vision": ("fp32", "int8"),
    "projector": ("fp32", "int8"),
    "embedding": ("fp32", "int8", "int4"),
}


@dataclass(frozen=True)
class Recipe:
    """How each part's weights are stored; linears of int8 and int4 parts take activations in 8 bits, a token at a time.

    ``int8`` is one scale a row, ``int4`` one a group of 32. ``llm`` includes ``lm_head``.
    """

    name: str
    llm: str
    vision: str
    projector: str
    embedding: str

    def __post_init__(self) -> None:
        for part, schemes in _SCHEMES.items():
            got = getattr(self, part)
            if got not in schemes:
                raise QuantizeError(f"{part}: got {got!r}, expected one of {', '.join(schemes)}")


RECIPES = {
    "int4": Recipe("int4", llm="int4", vision="int8", projector="int8", embedding="int8"),
    "int8": Recipe("int8", llm="int8", vision="int8", projector="int8", embedding="int8"),
    "fp32": Recipe("fp32", llm="fp32", vision="fp32", projector="fp32", embedding="fp32"),
}


def make_recipe(name: str, **knobs: str) -> Recipe:
    """The recipe ``name``, with single parts' schemes replaced.

    Raises:
        QuantizeError: no such recipe, part or scheme.
    """
    if name not in RECIPES:
        raise QuantizeError(f"recipe: got {name!r}, expected one of {', '.join(RECIPES)}")
    for part in knobs:
        if part not in _SCHEMES:
            raise QuantizeError(f"recipe: got a knob {part!r}, expected one of {', '.join(_SCHEMES)}")
    return replace(RECIPES[name], **knobs)


@dataclass(frozen=True)
class PartReport:
    """What became of one part: modules quantized, and what stays in float with why."""

    scheme: str
    quantized: int
    stays_float: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return asdict(self)


def quantize(model: MobileVLM, recipe: Recipe, progress: Progress = silent) -> dict[str, PartReport]:
    """Quantize ``model`` in place, one module at a time (so that the peak stays near the float model), and say what was done.

    Raises:
        QuantizeError: a linear's inputs don't divide into groups.
    """
    parts: list[tuple[str, nn.Module, str, tuple[str, ...]]] = [
        ("vision", model.vision_encoder.tower, recipe.vision, ("patch convolution", "positions", "layer norms")),
        (
            "projector",
            model.vision_encoder.projector,
            recipe.projector,
            ("depthwise convolution (9 weights a channel)",),
        ),
        ("llm", model.text_decoder, recipe.llm, ("RMS norms", "RoPE tables", "KV cache")),
        ("embedding", nn.ModuleList([model.token_embedding]), recipe.embedding, ()),
    ]
    reports = {}
    for name, part, scheme, float_always in parts:
        kind: type[nn.Module] = nn.Embedding if name == "embedding" else nn.Linear
        modules = [(path, module) for path, module in part.named_modules() if isinstance(module, kind)]
        if scheme == "fp32":
            reports[name] = PartReport(scheme, 0, ("everything (as the recipe says)",))
            continue
        for index, (path, module) in enumerate(modules):
            _quantize_one(f"{name}.{path}", module, scheme)
            progress(f"quantizing {name} to {scheme}", index + 1, len(modules))
        reports[name] = PartReport(scheme, len(modules), float_always)
    return reports


def _quantize_one(path: str, module: nn.Module, scheme: str) -> None:
    width = module.weight.shape[-1]
    if scheme == "int4" and width % GROUP_SIZE:
        raise QuantizeError(
            f"{path}: got {width} inputs, expected a multiple of {GROUP_SIZE} for int4; use int8 for this part"
        )
    granularity = PerGroup(GROUP_SIZE) if scheme == "int4" else PerAxis(0)
    weight_dtype = torch.int4 if scheme == "int4" else torch.int8
    config: Any
    if isinstance(module, nn.Embedding):
        config = IntxWeightOnlyConfig(weight_dtype=weight_dtype, granularity=granularity)
    else:
        config = Int8DynamicActivationIntxWeightConfig(weight_dtype=weight_dtype, weight_granularity=granularity)
    itself: Callable[[nn.Module, str], bool] = lambda candidate, _: candidate is module  # noqa: E731
    quantize_(module, config, filter_fn=itself)
