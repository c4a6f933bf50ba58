"""The components of a model, and their quantized versions, to be combined freely.

Components are a chain: each reads only what the one before it gives. So a quantized component can be measured behind any others, and a
recipe is a scheme for each. Every version is made once, by :func:`mobilevlm_export.quantize.apply.quantize` as in an export.
"""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from torch import nn

from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import model_parts
from mobilevlm_export.quantize.recipe import KNOBS, RECIPES, Recipe
from mobilevlm_export.quantize.report import shipped_bytes

LAYER_GROUPS = 4
STOCK = tuple(recipe for name, recipe in RECIPES.items() if name != "fp32")


class Quantizer(Protocol):
    """Quantizes a model in place with a recipe, calibrated as an export does it."""

    def __call__(self, model: MobileVLM, recipe: Recipe) -> None:
        """Quantize ``model`` with ``recipe``."""
        ...


def components(layers: int) -> dict[str, str]:
    """The components of a model with this many decoder layers, in the order of the data path, each with its knob of a recipe; the
    decoder's layers are grouped as ``llm 0-5`` and so on.
    """
    groups = min(LAYER_GROUPS, layers)
    bounds = [layers * group // groups for group in range(groups + 1)]
    names = {"vision": "vision", "projector": "projector", "embedding": "embedding"}
    names |= {f"llm {begin}-{end - 1}": "llm" for begin, end in itertools.pairwise(bounds)}
    return names | {"lm_head": "lm_head"}


def layers_of(component: str) -> range:
    """The decoder layers of a component ``llm …``."""
    begin, _, end = component.removeprefix("llm ").partition("-")
    return range(int(begin), int(end) + 1)


def recipe_of(component: str, scheme: str) -> Recipe:
    """A recipe that quantizes only ``component``."""
    fp32, name = RECIPES["fp32"], f"{component} {scheme}"
    if component.startswith("llm "):
        return replace(fp32, name=name, llm_layers=f"{component.removeprefix('llm ')}={scheme}")
    return replace(fp32, name=name, **{component: scheme})


def covering() -> list[Recipe]:
    """Recipes that have every scheme of every knob at least once; the first is ``int4``, as it is exported."""
    first = RECIPES["int4"]
    left = {knob: [s for s in schemes[1:] if s != getattr(first, knob)] for knob, schemes in KNOBS.items()}
    found = [first]
    for at in range(max(map(len, left.values()))):
        found.append(
            replace(first, name=f"cover {at}", **{knob: (each[at:] or each[-1:])[0] for knob, each in left.items()})
        )
    return found


class Components:
    """The components of ``model``, in every scheme. Quantized versions are made when the first is needed.

    Peak memory, with half-precision weights of 2 bytes a parameter: 2 for the model, 2 for the copy that is being quantized, and 1 for
    each finished one.
    """

    def __init__(self, model: MobileVLM, quantizer: Quantizer) -> None:
        self.model, self._quantizer = model, quantizer
        self.knobs = components(model.config.llm.num_layers)
        self._versions: dict[tuple[str, str], nn.Module] = {
            (knob, "fp32"): part for knob, part in _parts(model).items()
        }

    def schemes(self, recipe: Recipe) -> dict[str, str]:
        """The scheme of each component in ``recipe``, whose ``llm_layers`` don't divide a component."""
        return {
            name: recipe.scheme(knob, f"layers.{layers_of(name)[0]}" if knob == "llm" else "")
            for name, knob in self.knobs.items()
        }

    def layers(self, component: str, scheme: str) -> list[tuple[str, nn.Module]]:
        """The modules of ``component`` that run one after another, with their paths in the part."""
        knob = self.knobs[component]
        if (knob, scheme) not in self._versions:
            self._quantize()
        part = self._versions[knob, scheme]
        if knob == "llm":
            return [(f"layers.{at}", part.get_submodule(f"layers.{at}")) for at in layers_of(component)]
        if knob == "vision":
            first = nn.Sequential(part.get_submodule("embeddings"), part.get_submodule("pre_layrnorm"))
            layers = part.get_submodule("layers").named_children()
            return [("embeddings", first), *((f"layers.{at}", layer) for at, layer in layers)]
        return [("", part)]

    def first(self, schemes: Mapping[str, str]) -> int:
        """The position of the first component that is quantized in ``schemes``; the last one if none is."""
        names = list(self.knobs)
        return next((at for at, name in enumerate(names) if schemes.get(name, "fp32") != "fp32"), len(names) - 1)

    def layers_run(self, schemes: Mapping[str, str] | None) -> int:
        """How many modules run from the first quantized component on, or in the whole model."""
        names = list(self.knobs)[self.first(schemes) if schemes is not None else 0 :]
        return sum(len(self.layers(name, "fp32")) for name in names)

    def weight_bytes(self, schemes: Mapping[str, str]) -> int:
        """The size of all weights as shipped, in bytes, with these schemes (fp32 where there is none)."""
        return sum(self._bytes(name, schemes.get(name, "fp32")) for name in self.knobs)

    def _bytes(self, component: str, scheme: str) -> int:
        return sum(
            shipped_bytes(weight) if is_quantized(weight) else weight.numel() * 4  # other weights ship in float32
            for _, module in self.layers(component, scheme)
            for weight in module.parameters()
        )

    def _quantize(self) -> None:
        for recipe in covering():
            quantized = _copy(self.model)
            self._quantizer(quantized, recipe)
            for knob, part in _parts(quantized).items():
                self._versions.setdefault((knob, getattr(recipe, knob)), part)


def _copy(model: MobileVLM) -> MobileVLM:
    """A copy to quantize. It shares float32 weights, which are replaced and never changed; others are widened in place."""
    # The memo refers to all that is copied: it must not outlive this call, or no weight would be freed when it is replaced.
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters() if weight.dtype.itemsize == 4})


def _parts(model: MobileVLM) -> dict[str, nn.Module]:
    """As :func:`model_parts`; the final norm is with ``lm_head``, whose weights its gain is folded into."""
    head = nn.Sequential(OrderedDict(norm=model.text_decoder.norm, lm_head=model.text_decoder.lm_head))
    return model_parts(model) | {"lm_head": head}


def widened(module: nn.Module) -> nn.Module:
    """``module`` with float32 weights: itself, or a copy."""
    if all(is_quantized(weight) or weight.dtype.itemsize == 4 for weight in module.parameters()):
        return module
    return copy.deepcopy(module).float()
