"""Named quantization recipes, with knobs for the language model, its head, vision encoder, projector and embedding.

Doesn't import torch, so that commands can list recipes quickly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mobilevlm_export.errors import QuantizeError

KNOBS = {
    "llm": ("fp32", "int8", "int4"),
    "lm_head": ("fp32", "int8", "int4"),
    "vision": ("fp32", "int8", "int4"),
    "projector": ("fp32", "int8", "int4"),
    "embedding": ("fp32", "int8", "int4"),
}
# Bytes per weight in an artifact: int8 with one scale per row; int4 with a two-byte scale per group of 32.
WEIGHT_BYTES = {"fp32": 4.0, "int8": 1.0, "int4": 0.5 + 2 / 32}
_LAYERS = re.compile(r"([0-9]{1,4})-([0-9]{1,4})=([a-z0-9-]+)")


@dataclass(frozen=True)
class Recipe:
    """A scheme for each part: ``llm`` is the decoder's layers, ``vision`` CLIP's tower, ``projector`` what is between the two.

    ``llm_layers`` overrides ``llm`` for some of the decoder's layers: ``0-5=int8,18-23=int8``, with inclusive ranges.
    """

    name: str
    llm: str
    lm_head: str
    vision: str
    projector: str
    embedding: str
    llm_layers: str = ""

    def __post_init__(self) -> None:
        for knob, allowed in KNOBS.items():
            value = getattr(self, knob)
            if value not in allowed:
                raise QuantizeError(f"{knob}: got {value!r}, expected one of {', '.join(allowed)}")
        _parse_layers(self.llm_layers)

    @property
    def layer_schemes(self) -> dict[int, str]:
        """The schemes of the decoder's layers that ``llm_layers`` names."""
        return _parse_layers(self.llm_layers)

    def scheme(self, part: str, path: str) -> str:
        """The scheme of the weight at ``path`` in ``part``, one of :data:`KNOBS`."""
        if part == "llm" and path.startswith("layers."):
            return self.layer_schemes.get(int(path.split(".")[1]), self.llm)
        return str(getattr(self, part))

    @property
    def linear_schemes(self) -> set[str]:
        """The schemes of all linears."""
        return {self.llm, self.lm_head, self.vision, self.projector, *self.layer_schemes.values()}

    def to_json(self) -> dict[str, str]:
        """The recipe as stored in the bundle's manifest."""
        layers = {"llm_layers": self.llm_layers} if self.llm_layers else {}
        return {"name": self.name} | {knob: getattr(self, knob) for knob in KNOBS} | layers


def _parse_layers(text: str) -> dict[int, str]:
    """Parse the schemes of layers, such as ``0-5=int8``.

    Raises:
        QuantizeError: ``text`` has another form, an unknown scheme, or the same layer twice.
    """
    schemes: dict[int, str] = {}
    for item in text.split(",") if text else ():
        found = _LAYERS.fullmatch(item)
        if not found or int(found[1]) > int(found[2]) or found[3] not in KNOBS["llm"]:
            raise QuantizeError(f"llm_layers: got {item!r:.60}, expected a range and a scheme of llm, like 0-5=int8")
        layers = range(int(found[1]), int(found[2]) + 1)
        if twice := schemes.keys() & set(layers):
            raise QuantizeError(f"llm_layers: got layer {min(twice)} twice, expected each once")
        schemes |= dict.fromkeys(layers, found[3])
    return schemes


RECIPES = {
    "int4": Recipe("int4", llm="int4", lm_head="int8", vision="int8", projector="int8", embedding="int8"),
    "int8": Recipe("int8", llm="int8", lm_head="int8", vision="int8", projector="int8", embedding="int8"),
    "int4-all": Recipe("int4-all", llm="int4", lm_head="int4", vision="int4", projector="int4", embedding="int4"),
    "fp32": Recipe("fp32", llm="fp32", lm_head="fp32", vision="fp32", projector="fp32", embedding="fp32"),
}


def make_recipe(name: str, **knobs: str | None) -> Recipe:
    """The recipe ``name``, with ``knobs`` (see ``KNOBS``) overriding its values; a knob of None keeps the recipe's value.

    Unless it is set, ``lm_head`` follows ``llm``, as in the recipe with the name of ``llm``'s scheme. A recipe that differs from the
    named one gets the name ``name+knob=value…``.

    Raises:
        QuantizeError: no such recipe, knob or value.
    """
    if name not in RECIPES:
        raise QuantizeError(f"recipe: got {name!r}, expected one of {', '.join(RECIPES)}")
    named = RECIPES[name]
    for knob in knobs:
        if knob not in KNOBS:
            raise QuantizeError(f"recipe: got the knob {knob!r}, expected one of {', '.join(KNOBS)}")
    given = {knob: value for knob, value in knobs.items() if value is not None}
    base = replace(named, lm_head=RECIPES.get(given.get("llm", name), named).lm_head)
    changed = {knob: value for knob, value in given.items() if value != getattr(base, knob)}
    full_name = "+".join([name, *(f"{knob}={value}" for knob, value in changed.items())])
    return replace(base, name=full_name, **changed)
