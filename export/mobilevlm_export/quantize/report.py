"""What was quantized, what wasn't, and why: for the bundle's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from mobilevlm_export.dependencies.torchao_private import integers, is_int4, is_quantized, scales
from mobilevlm_export.quantize.recipe import Recipe


@dataclass(frozen=True)
class ComponentReport:
    """How one part was quantized. Bytes count the weights as shipped: int4 packed, with scales."""

    component: str
    scheme: str
    modules: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Unquantized:
    """Parameters of one part that stay float32, or have more bits than in the recipe, and the reason."""

    component: str
    what: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class QuantizeReport:
    """What was quantized, and what wasn't."""

    recipe: Recipe
    components: tuple[ComponentReport, ...]
    unquantized: tuple[Unquantized, ...]
    calibration: str = ""  # the data that calibrated weights were fitted to

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest."""
        return {
            "recipe": self.recipe.to_json(),
            "components": [vars(component) for component in self.components],
            "unquantized": [vars(left) for left in self.unquantized],
        } | ({"calibration": self.calibration} if self.calibration else {})


def shipped_bytes(weight: Any) -> int:
    """Bytes of ``weight`` in an artifact, with its scales; int4 takes half a byte."""
    if not is_quantized(weight):
        return int(weight.numel() * weight.element_size())
    bits = 4 if is_int4(weight) else 8
    return int(integers(weight).numel() * bits // 8 + scales(weight).nbytes)


_REASONS = {
    "Conv2d": "the patch convolution runs once per image",
    "depthwise": "XNNPACK has no dynamically quantized depthwise convolution, and it is small",
    "RMSNorm": "norms are small and sensitive",
    "LayerNorm": "norms are small and sensitive",
    "PatchEmbedding": "class and position embeddings are added, not multiplied",
    "bias": "biases are added in float32",
    "fp32": "the recipe says so",
}


def left_over(component: str, part: nn.Module) -> list[Unquantized]:
    """The float parameters of ``part``, grouped by the reason for which they stay float."""
    sizes: dict[tuple[str, str], int] = {}
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if is_quantized(parameter):
                continue
            kind = type(module).__name__
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                kind = "depthwise"
            elif isinstance(module, nn.Linear | nn.Embedding):
                kind = "fp32" if name == "weight" or not is_quantized(module.weight) else "bias"
            key = (f"{kind} {name}" if kind not in ("bias", "fp32") else f"{type(module).__name__} {name}", kind)
            sizes[key] = sizes.get(key, 0) + parameter.numel() * parameter.element_size()
    return [
        Unquantized(component, what, size, _REASONS.get(kind, "not a linear")) for (what, kind), size in sizes.items()
    ]
